-- CreateTable
CREATE TABLE "change_stream_positions" (
    "name" TEXT NOT NULL,
    "token" TEXT,
    "holder" UUID,
    "seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "change_stream_positions_pkey" PRIMARY KEY ("name")
);
