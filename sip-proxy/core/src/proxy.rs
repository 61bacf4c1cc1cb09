//! What the proxy does with what comes in, one idea a file.

mod admit;
mod begin;
mod branch;
mod cancel;
mod hang_up;
mod in_dialog;
mod receive;
mod register;
mod reply;
mod send;
mod upstream;
