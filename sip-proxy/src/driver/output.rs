//! Does what the core asks for.

use sip_proxy_core::{Cdr, Destination, Now, Output};
use sip_proxy_store::Change;

use super::{Driver, Echo, Socket, trace_message};
use crate::transport::tcp::SendError;

impl Driver {
    /// Does everything that the core has to say.
    pub(super) fn drain(&mut self, now: Now) {
        while let Some(output) = self.proxy.poll_output() {
            self.execute(now, output);
        }
        // Requests of this round leave in this round.
        if let Some(link) = &mut self.media {
            link.write();
        }
    }

    fn execute(&mut self, now: Now, output: Output) {
        match output {
            Output::Cdr(cdr) => {
                log(&cdr);
                self.store.write(Change::Cdr(cdr));
            }
            Output::Media { token, request } => match &mut self.media {
                Some(link) => link.client.handle_request(now.instant, token, &request),
                None => self.echoes.push(Echo::NoMedia(token)),
            },
            Output::Resolve { token, host, port } => {
                if !self.resolver.start(token, host, port) {
                    self.echoes.push(Echo::NotResolved(token));
                }
            }
            Output::Send { destination, bytes } => self.send(destination, bytes),
            Output::StoreBindings { user, bindings } => {
                self.store.write(Change::Bindings { user, bindings });
            }
        }
    }

    fn send(&mut self, destination: Destination, bytes: Vec<u8>) {
        trace_message("sent", destination.address, &bytes);
        let index = usize::from(destination.listener.0);
        let sent = match self.sockets.get_mut(index) {
            Some(Socket::Udp(listener)) => listener.send(destination, bytes).map_err(|error| {
                tracing::debug!(to = %destination.address, %error, "cannot send");
            }),
            Some(Socket::Tcp(_)) => self.send_tcp(destination, bytes),
            None => Err(()),
        };
        if sent.is_err() {
            self.echoes.push(Echo::NotSent(destination));
        }
    }

    fn send_tcp(&mut self, destination: Destination, bytes: Vec<u8>) -> Result<(), ()> {
        let Some(listener) = self.listeners.get(usize::from(destination.listener.0)) else {
            return Err(());
        };
        let local = listener.address.ip();
        let sent = self.connections.send(destination, local, bytes);
        if let Err(SendError::Overflow(id)) = sent {
            tracing::warn!(peer = %destination.address, "connection closed: the peer takes nothing");
            self.echoes.push(Echo::ConnectionClosed(id));
        }
        sent.map_err(|_error| ())
    }
}

/// One line for each call that ended.
fn log(cdr: &Cdr) {
    let answered_ms = cdr
        .answer_unix_ms
        .map_or(0, |answer| cdr.end_unix_ms.saturating_sub(answer));
    tracing::info!(
        call_id = cdr.call_id,
        caller = cdr.caller,
        callee = cdr.callee,
        status = cdr.status,
        cause = cdr.cause.name(),
        answered_ms,
        "call ended"
    );
}
