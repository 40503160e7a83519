//! Policies and guards: one folder each.
