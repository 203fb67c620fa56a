-- The tables of the service on MariaDB (10.6 and later) and MySQL (8.0.16 and later). Texts compare by their code points, so
-- that case counts as it does in PostgreSQL; ids are hexadecimal digits in either case.
CREATE TABLE `users` (
    `id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `email` VARCHAR(254) NOT NULL,
    `name` VARCHAR(200) NOT NULL,
    `password_hash` VARCHAR(255) NULL,
    `role` ENUM('user', 'admin') NOT NULL DEFAULT 'user',
    `created_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `updated_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),

    UNIQUE INDEX `users_email_key`(`email`),
    INDEX `users_created_at_id_idx`(`created_at`, `id`),
    INDEX `users_name_id_idx`(`name`, `id`),
    PRIMARY KEY (`id`),
    CONSTRAINT `users_email_check` CHECK (`email` = lower(`email`) AND `email` <> ''),
    CONSTRAINT `users_name_check` CHECK (`name` <> '')
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `refresh_tokens` (
    `id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `family_id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `user_id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `token_hash` VARBINARY(32) NOT NULL,
    `started_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `created_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `expires_at` DATETIME(3) NOT NULL,
    `used_at` DATETIME(3) NULL,
    `revoked_at` DATETIME(3) NULL,

    UNIQUE INDEX `refresh_tokens_token_hash_key`(`token_hash`),
    INDEX `refresh_tokens_family_id_idx`(`family_id`),
    INDEX `refresh_tokens_user_id_idx`(`user_id`),
    INDEX `refresh_tokens_expires_at_idx`(`expires_at`),
    PRIMARY KEY (`id`),
    CONSTRAINT `refresh_tokens_token_hash_check` CHECK (octet_length(`token_hash`) = 32),
    CONSTRAINT `refresh_tokens_expires_at_check` CHECK (`expires_at` > `created_at`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `login_throttles` (
    `key` VARBINARY(32) NOT NULL,
    `failures` INTEGER NOT NULL DEFAULT 0,
    `window_ends_at` DATETIME(3) NOT NULL,
    `known_until` DATETIME(3) NULL,
    `expires_at` DATETIME(3) NOT NULL,

    INDEX `login_throttles_expires_at_idx`(`expires_at`),
    PRIMARY KEY (`key`),
    CONSTRAINT `login_throttles_key_check` CHECK (octet_length(`key`) = 32),
    CONSTRAINT `login_throttles_failures_check` CHECK (`failures` >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `products` (
    `id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `sku` VARCHAR(64) NOT NULL,
    `name` VARCHAR(200) NOT NULL,
    `description` TEXT NOT NULL,
    `price_amount` INTEGER NOT NULL,
    `price_currency` CHAR(3) NOT NULL,
    `stock` INTEGER NOT NULL,
    `version` INTEGER NOT NULL DEFAULT 1,
    `created_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `updated_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),

    UNIQUE INDEX `products_sku_key`(`sku`),
    INDEX `products_name_id_idx`(`name`, `id`),
    INDEX `products_price_amount_id_idx`(`price_amount`, `id`),
    INDEX `products_created_at_id_idx`(`created_at`, `id`),
    PRIMARY KEY (`id`),
    CONSTRAINT `products_sku_check` CHECK (`sku` <> ''),
    CONSTRAINT `products_name_check` CHECK (`name` <> ''),
    CONSTRAINT `products_price_amount_check` CHECK (`price_amount` >= 0),
    CONSTRAINT `products_price_currency_check` CHECK (`price_currency` REGEXP '^[A-Z]{3}$'),
    CONSTRAINT `products_stock_check` CHECK (`stock` >= 0),
    CONSTRAINT `products_version_check` CHECK (`version` >= 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `orders` (
    `id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `user_id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `status` ENUM('pending', 'paid', 'shipped', 'cancelled') NOT NULL DEFAULT 'pending',
    `currency` CHAR(3) NOT NULL,
    `total_amount` BIGINT NOT NULL,
    `version` INTEGER NOT NULL DEFAULT 1,
    `created_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `updated_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),

    INDEX `orders_user_id_created_at_id_idx`(`user_id`, `created_at`, `id`),
    INDEX `orders_created_at_id_idx`(`created_at`, `id`),
    PRIMARY KEY (`id`),
    CONSTRAINT `orders_currency_check` CHECK (`currency` REGEXP '^[A-Z]{3}$'),
    CONSTRAINT `orders_total_amount_check` CHECK (`total_amount` >= 0),
    CONSTRAINT `orders_version_check` CHECK (`version` >= 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `order_items` (
    `order_id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `position` INTEGER NOT NULL,
    `product_id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `sku` VARCHAR(64) NOT NULL,
    `name` VARCHAR(200) NOT NULL,
    `quantity` INTEGER NOT NULL,
    `unit_price_amount` INTEGER NOT NULL,

    INDEX `order_items_product_id_idx`(`product_id`),
    UNIQUE INDEX `order_items_order_id_product_id_key`(`order_id`, `product_id`),
    PRIMARY KEY (`order_id`, `position`),
    CONSTRAINT `order_items_position_check` CHECK (`position` >= 0),
    CONSTRAINT `order_items_sku_check` CHECK (`sku` <> ''),
    CONSTRAINT `order_items_name_check` CHECK (`name` <> ''),
    CONSTRAINT `order_items_quantity_check` CHECK (`quantity` BETWEEN 1 AND 1000),
    CONSTRAINT `order_items_unit_price_amount_check` CHECK (`unit_price_amount` >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `idempotency_records` (
    `user_id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `operation` VARCHAR(100) NOT NULL,
    `key` VARCHAR(255) NOT NULL,
    `fingerprint` VARBINARY(32) NOT NULL,
    `answer` JSON NOT NULL,
    `created_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `expires_at` DATETIME(3) NOT NULL,

    INDEX `idempotency_records_expires_at_idx`(`expires_at`),
    PRIMARY KEY (`user_id`, `operation`, `key`),
    CONSTRAINT `idempotency_records_operation_check` CHECK (`operation` <> ''),
    CONSTRAINT `idempotency_records_key_check` CHECK (char_length(`key`) BETWEEN 1 AND 255),
    CONSTRAINT `idempotency_records_fingerprint_check` CHECK (octet_length(`fingerprint`) = 32)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `events` (
    `id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `position` BIGINT NULL,
    `type` VARCHAR(100) NOT NULL,
    `subject` VARCHAR(255) NOT NULL,
    `owner_id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NULL,
    `at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `data` JSON NOT NULL,
    `origin` JSON NULL,

    UNIQUE INDEX `events_position_key`(`position`),
    INDEX `events_owner_id_position_idx`(`owner_id`, `position`),
    INDEX `events_subject_position_idx`(`subject`, `position`),
    PRIMARY KEY (`id`),
    CONSTRAINT `events_type_check` CHECK (`type` <> ''),
    CONSTRAINT `events_subject_check` CHECK (`subject` <> '')
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The last position that was given to an event. It is given at commit, one transaction after the other, with this row
-- locked: a number drawn earlier could become visible after a larger one, and a reader would have passed it by.
CREATE TABLE `event_positions` (
    `id` SMALLINT NOT NULL DEFAULT 1,
    `last` BIGINT NOT NULL DEFAULT 0,

    PRIMARY KEY (`id`),
    CONSTRAINT `event_positions_id_check` CHECK (`id` = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `event_horizon` (
    `id` SMALLINT NOT NULL DEFAULT 1,
    `position` BIGINT NOT NULL DEFAULT 0,

    PRIMARY KEY (`id`),
    CONSTRAINT `event_horizon_id_check` CHECK (`id` = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO `event_positions` () VALUES ();
INSERT INTO `event_horizon` () VALUES ();

CREATE TABLE `event_consumers` (
    `name` VARCHAR(100) NOT NULL,
    `position` BIGINT NOT NULL,
    `moved_at` DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    `attempts` INTEGER NOT NULL DEFAULT 0,
    `retry_at` DATETIME(3) NULL,

    PRIMARY KEY (`name`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `event_failures` (
    `consumer` VARCHAR(100) NOT NULL,
    `position` BIGINT NOT NULL,
    `type` VARCHAR(100) NOT NULL,
    `subject` VARCHAR(255) NOT NULL,
    `owner_id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NULL,
    `json` LONGTEXT NOT NULL,
    `origin` JSON NULL,
    `error` TEXT NULL,
    `failed_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `is_due` BOOLEAN NOT NULL,

    INDEX `event_failures_consumer_subject_position_idx`(`consumer`, `subject`, `position`),
    PRIMARY KEY (`consumer`, `position`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `socket_tickets` (
    `token_hash` VARBINARY(32) NOT NULL,
    `user_id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `scopes` JSON NOT NULL,
    `token_expires_at` DATETIME(3) NOT NULL,
    `expires_at` DATETIME(3) NOT NULL,

    INDEX `socket_tickets_expires_at_idx`(`expires_at`),
    PRIMARY KEY (`token_hash`),
    CONSTRAINT `socket_tickets_token_hash_check` CHECK (octet_length(`token_hash`) = 32)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `mails` (
    `id` CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL,
    `recipient` VARCHAR(320) NOT NULL,
    `subject` VARCHAR(998) NOT NULL,
    `text` MEDIUMTEXT NOT NULL,
    `created_at` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `sent_at` DATETIME(3) NULL,

    INDEX `mails_created_at_idx`(`created_at`),
    PRIMARY KEY (`id`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

ALTER TABLE `refresh_tokens` ADD CONSTRAINT `refresh_tokens_user_id_fkey` FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE `orders` ADD CONSTRAINT `orders_user_id_fkey` FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE `order_items` ADD CONSTRAINT `order_items_order_id_fkey` FOREIGN KEY (`order_id`) REFERENCES `orders`(`id`) ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE `order_items` ADD CONSTRAINT `order_items_product_id_fkey` FOREIGN KEY (`product_id`) REFERENCES `products`(`id`) ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE `idempotency_records` ADD CONSTRAINT `idempotency_records_user_id_fkey` FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE `event_failures` ADD CONSTRAINT `event_failures_consumer_fkey` FOREIGN KEY (`consumer`) REFERENCES `event_consumers`(`name`) ON DELETE CASCADE ON UPDATE CASCADE;
