//! Every bound of the system, with its unit and the reason for its size.

use std::time::Duration;

/// Stamps in one order. A distributor's invoice; more is several orders.
pub const ORDER_QUANTITY_MAX: u32 = 10_000;
/// Characters of an account id.
pub const ACCOUNT_ID_CHARS_MAX: usize = 64;
/// Characters of a gateway's name.
pub const GATEWAY_CHARS_MAX: usize = 32;
/// Characters of a gateway's payment id; Midtrans and Xendit use 36 and fewer.
pub const PAYMENT_ID_CHARS_MAX: usize = 64;
/// Rupiah in one payment: a hundred million stamps, far below the overflow of a sum over all orders.
pub const PAYMENT_AMOUNT_IDR_MAX: u64 = 1_000_000_000_000;
/// Stamps in one series.
pub const SERIES_CAPACITY_MAX: u64 = 1_000_000_000;
/// Highest serial number: nine digits of base 32 in the printed code.
pub const STAMP_NUMBER_MAX: u64 = 32u64.pow(9) - 1;
/// Face value of one stamp in rupiah; the law's is 10,000. Times `ORDER_QUANTITY_MAX` it stays a valid payment.
pub const FACE_VALUE_IDR_MAX: u64 = 1_000_000;
/// How long an order may wait for its payment.
pub const PAYMENT_WINDOW_MIN: Duration = Duration::from_secs(1);
pub const PAYMENT_WINDOW_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Commands in one batch call, and in one log entry.
pub const BATCH_COMMANDS_MAX: usize = 1_000;
/// Orders that one `ExpireOrders` command expires: bounds the work of one log entry.
pub const EXPIRE_ORDERS_MAX: u32 = 1_000;

/// Members of one cluster. Every entry goes to each; more make writes slower, not safer.
pub const MEMBERS_MAX: usize = 7;
/// Characters of a cluster's name.
pub const CLUSTER_NAME_CHARS_MAX: usize = 64;
/// Characters of a node's name.
pub const NODE_NAME_CHARS_MAX: usize = 64;
/// Buckets of a histogram in powers of two: the last bound is 2^26, of microseconds more than a minute.
pub const HISTOGRAM_BUCKETS: usize = 28;

/// How long a command of the CLI waits for a TCP connection to one server.
pub const CLI_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a command of the CLI waits for one server's answer before it asks the next with the same id.
pub const CLI_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two rounds over all servers.
pub const CLI_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Committed entries that a node may still have to apply and call itself ready: well below a second's work.
pub const READY_APPLY_LAG_ENTRIES_MAX: u64 = 1_000;
/// Between two tries to hand leadership over at a stop.
pub const HAND_OVER_RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long blocking work may keep the process after everything else has stopped.
pub const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
