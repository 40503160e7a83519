//! The data plane: every stage of an exchange, in order.
