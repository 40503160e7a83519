//! The control plane: admin endpoints, reload, publish.
