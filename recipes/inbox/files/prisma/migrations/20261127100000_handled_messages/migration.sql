-- CreateTable
CREATE TABLE "handled_messages" (
    "consumer" TEXT NOT NULL,
    "source" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "handled_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "handled_messages_pkey" PRIMARY KEY ("consumer","source","id")
);

-- CreateIndex
CREATE INDEX "handled_messages_handled_at_idx" ON "handled_messages"("handled_at");
