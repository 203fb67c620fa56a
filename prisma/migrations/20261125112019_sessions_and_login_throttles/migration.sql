-- AlterTable
ALTER TABLE "refresh_tokens" ADD COLUMN     "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP;

-- CreateTable
CREATE TABLE "login_throttles" (
    "key" BYTEA NOT NULL,
    "failures" INTEGER NOT NULL DEFAULT 0,
    "window_ends_at" TIMESTAMPTZ(3) NOT NULL,
    "known_until" TIMESTAMPTZ(3),
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "login_throttles_pkey" PRIMARY KEY ("key")
);

-- CreateIndex
CREATE INDEX "login_throttles_expires_at_idx" ON "login_throttles"("expires_at");

-- Sessions that are there began with their first token
UPDATE "refresh_tokens" SET "started_at" = "family"."began"
    FROM (SELECT "family_id", min("created_at") AS "began" FROM "refresh_tokens" GROUP BY "family_id") AS "family"
    WHERE "refresh_tokens"."family_id" = "family"."family_id";

-- Checks that Prisma's schema language cannot say
ALTER TABLE "login_throttles"
    ADD CONSTRAINT "login_throttles_key_check" CHECK (octet_length("key") = 32),
    ADD CONSTRAINT "login_throttles_failures_check" CHECK ("failures" >= 0);
