-- AlterTable
ALTER TABLE "event_consumers" ADD COLUMN     "attempts" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "moved_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
ADD COLUMN     "retry_at" TIMESTAMPTZ(3);

-- CreateTable
CREATE TABLE "event_failures" (
    "consumer" TEXT NOT NULL,
    "position" BIGINT NOT NULL,
    "type" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "owner_id" UUID,
    "json" TEXT NOT NULL,
    "error" TEXT,
    "failed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "is_due" BOOLEAN NOT NULL,

    CONSTRAINT "event_failures_pkey" PRIMARY KEY ("consumer","position")
);

-- CreateIndex
CREATE INDEX "event_failures_consumer_subject_position_idx" ON "event_failures"("consumer", "subject", "position");

-- AddForeignKey
ALTER TABLE "event_failures" ADD CONSTRAINT "event_failures_consumer_fkey" FOREIGN KEY ("consumer") REFERENCES "event_consumers"("name") ON DELETE CASCADE ON UPDATE CASCADE;
