//! Everything an operator may say: definitions, ringway.yaml, their checks and the snapshot.
