//! Sans-IO retry decisions.
