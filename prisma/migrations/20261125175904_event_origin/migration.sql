-- AlterTable
ALTER TABLE "event_failures" ADD COLUMN     "origin" JSONB;

-- AlterTable
ALTER TABLE "events" ADD COLUMN     "origin" JSONB;
