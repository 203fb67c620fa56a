-- CreateTable
CREATE TABLE "events" (
    "id" UUID NOT NULL,
    "position" BIGINT,
    "type" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "owner_id" UUID,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "data" JSONB NOT NULL,

    CONSTRAINT "events_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "event_horizon" (
    "id" SMALLINT NOT NULL DEFAULT 1,
    "position" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "event_horizon_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "event_consumers" (
    "name" TEXT NOT NULL,
    "position" BIGINT NOT NULL,

    CONSTRAINT "event_consumers_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "socket_tickets" (
    "token_hash" BYTEA NOT NULL,
    "user_id" UUID NOT NULL,
    "scopes" TEXT[],
    "token_expires_at" TIMESTAMPTZ(3) NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "socket_tickets_pkey" PRIMARY KEY ("token_hash")
);

-- CreateIndex
CREATE UNIQUE INDEX "events_position_key" ON "events"("position");

-- CreateIndex
CREATE INDEX "events_owner_id_position_idx" ON "events"("owner_id", "position");

-- CreateIndex
CREATE INDEX "events_subject_position_idx" ON "events"("subject", "position");

-- CreateIndex
CREATE INDEX "socket_tickets_expires_at_idx" ON "socket_tickets"("expires_at");

-- Checks that Prisma's schema language cannot say
ALTER TABLE "events"
    ADD CONSTRAINT "events_type_check" CHECK ("type" <> ''),
    ADD CONSTRAINT "events_subject_check" CHECK ("subject" <> '');

ALTER TABLE "event_horizon"
    ADD CONSTRAINT "event_horizon_id_check" CHECK ("id" = 1);

ALTER TABLE "socket_tickets"
    ADD CONSTRAINT "socket_tickets_token_hash_check" CHECK (octet_length("token_hash") = 32);

INSERT INTO "event_horizon" DEFAULT VALUES;

-- An event gets its position when its transaction commits, one transaction after the other: a number
-- drawn earlier could become visible after a larger one, and a reader would have passed it by. The lock
-- is held for the commit alone, and is the last that a transaction takes. (NOTIFY makes commits queue, too.)
CREATE SEQUENCE "event_positions" AS BIGINT;

CREATE FUNCTION "place_event"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('events in ' || TG_TABLE_SCHEMA, 0));
    UPDATE events SET position = nextval('event_positions') WHERE id = NEW.id;
    -- Several in a transaction are one notification.
    PERFORM pg_notify('events', TG_TABLE_SCHEMA);
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER "place_event" AFTER INSERT ON "events"
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "place_event"();
