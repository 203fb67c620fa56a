-- CreateTable
CREATE TABLE "agenda_jobs" (
    -- What agenda itself keeps, as its PostgreSQL backend makes it.
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "name" VARCHAR(255) NOT NULL,
    "priority" INTEGER NOT NULL DEFAULT 0,
    "next_run_at" TIMESTAMPTZ(6),
    "type" VARCHAR(10) NOT NULL DEFAULT 'normal',
    "locked_at" TIMESTAMPTZ(6),
    "last_finished_at" TIMESTAMPTZ(6),
    "failed_at" TIMESTAMPTZ(6),
    "fail_count" INTEGER,
    "fail_reason" TEXT,
    "repeat_timezone" VARCHAR(100),
    "last_run_at" TIMESTAMPTZ(6),
    "repeat_interval" VARCHAR(255),
    "data" JSONB DEFAULT '{}',
    "repeat_at" VARCHAR(255),
    "disabled" BOOLEAN NOT NULL DEFAULT false,
    "progress" REAL,
    "fork" BOOLEAN DEFAULT false,
    "last_modified_by" VARCHAR(255),
    "debounce_started_at" TIMESTAMPTZ(6),
    "start_date" TIMESTAMPTZ(6),
    "end_date" TIMESTAMPTZ(6),
    "skip_days" JSONB,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- What the service keeps beside it.
    "position" BIGSERIAL NOT NULL,
    "policy" TEXT NOT NULL DEFAULT 'standard',
    "key" TEXT NOT NULL DEFAULT '',
    "retries" INTEGER NOT NULL DEFAULT 0,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "sent_for" TIMESTAMPTZ(6),

    CONSTRAINT "agenda_jobs_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "agenda_jobs_type_check" CHECK ("type" IN ('normal', 'single'))
);

-- CreateTable
CREATE TABLE "agenda_queues" (
    "name" TEXT NOT NULL,

    CONSTRAINT "agenda_queues_pkey" PRIMARY KEY ("name")
);

-- Agenda's own: of each schedule there is one.
CREATE UNIQUE INDEX "agenda_jobs_single_job_idx" ON "agenda_jobs" ("name") WHERE "type" = 'single';

-- Jobs that may start, in the order in which they do.
CREATE INDEX "agenda_jobs_next_idx" ON "agenda_jobs" ("name", "priority" DESC, "next_run_at", "position") WHERE "next_run_at" IS NOT NULL AND "locked_at" IS NULL AND NOT "disabled";

-- What is counted.
CREATE INDEX "agenda_jobs_open_idx" ON "agenda_jobs" ("name") WHERE "next_run_at" IS NOT NULL OR "fail_count" > 0;

-- Signs of life.
CREATE INDEX "agenda_jobs_locked_at_idx" ON "agenda_jobs" ("locked_at") WHERE "locked_at" IS NOT NULL;

-- What has ended, to be forgotten.
CREATE INDEX "agenda_jobs_ended_idx" ON "agenda_jobs" ("updated_at") WHERE "next_run_at" IS NULL OR "disabled";

-- The policies: how many there may be of a queue and key. A transaction that would have one too many finds it taken.
CREATE UNIQUE INDEX "agenda_jobs_waits_key" ON "agenda_jobs" ("name", "key")
    WHERE "policy" IN ('short', 'stately') AND "attempts" = 0 AND "next_run_at" IS NOT NULL AND NOT "disabled";
CREATE UNIQUE INDEX "agenda_jobs_exclusive_key" ON "agenda_jobs" ("name", "key")
    WHERE "policy" = 'exclusive' AND "next_run_at" IS NOT NULL AND NOT "disabled";
CREATE UNIQUE INDEX "agenda_jobs_runs_key" ON "agenda_jobs" ("name", "key")
    WHERE "policy" IN ('singleton', 'stately', 'key_strict_fifo') AND "locked_at" IS NOT NULL;

-- Those of a key, in the order in which they were sent.
CREATE INDEX "agenda_jobs_turn_idx" ON "agenda_jobs" ("name", "key", "position")
    WHERE "policy" IN ('singleton', 'stately', 'key_strict_fifo') AND "next_run_at" IS NOT NULL AND NOT "disabled";
