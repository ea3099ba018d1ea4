//! guest-sdk.
