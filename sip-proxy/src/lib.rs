//! The SIP proxy daemon: transports, storage, the ng client.
