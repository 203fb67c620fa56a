-- CreateTable
CREATE TABLE "uploads" (
    "id" UUID NOT NULL,
    "owner_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "size" BIGINT,
    "sha256" BYTEA,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "stored_at" TIMESTAMPTZ(3),

    CONSTRAINT "uploads_pkey" PRIMARY KEY ("id"),
    -- What can be seen is complete.
    CONSTRAINT "uploads_complete" CHECK ("stored_at" IS NULL OR ("size" > 0 AND octet_length("sha256") = 32))
);

-- CreateIndex
CREATE INDEX "uploads_owner_id_created_at_id_idx" ON "uploads"("owner_id", "created_at", "id");

-- CreateIndex
CREATE INDEX "uploads_stored_at_created_at_idx" ON "uploads"("stored_at", "created_at");
