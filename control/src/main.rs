//! The control daemon: ng over UDP, the link to the relay.

fn main() {}
