//! Who is bound to what.
