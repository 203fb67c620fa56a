-- CreateTable
CREATE TABLE "outgoing_jobs" (
    "id" UUID NOT NULL,
    "position" BIGSERIAL NOT NULL,
    "queue" TEXT NOT NULL,
    "data" JSONB NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'waiting',
    "priority" INTEGER NOT NULL DEFAULT 0,
    "attempts" INTEGER NOT NULL,
    "slot" TEXT,
    "turn" TEXT,
    "is_ordered" BOOLEAN NOT NULL DEFAULT false,
    "is_kept" BOOLEAN NOT NULL DEFAULT false,
    "start_after" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "touched_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "outgoing_jobs_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "outgoing_jobs_slot_key" ON "outgoing_jobs"("slot");

-- CreateIndex
CREATE INDEX "outgoing_jobs_state_position_idx" ON "outgoing_jobs"("state", "position");

-- CreateIndex
CREATE INDEX "outgoing_jobs_turn_position_idx" ON "outgoing_jobs"("turn", "position");

-- CreateIndex
CREATE INDEX "outgoing_jobs_state_touched_at_idx" ON "outgoing_jobs"("state", "touched_at");

-- Wakes the workers, which hand jobs on to Redis.
CREATE FUNCTION "announce_jobs"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Several in a transaction are one notification.
    PERFORM pg_notify('outgoing_jobs', TG_TABLE_SCHEMA);
    RETURN NULL;
END $$;

CREATE TRIGGER "announce_jobs" AFTER INSERT ON "outgoing_jobs" FOR EACH STATEMENT EXECUTE FUNCTION "announce_jobs"();
