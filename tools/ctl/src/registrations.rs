//! `tandem registrations`: which phones are registered, and where they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use sip_proxy_core::{Binding, Listener, Transport};
use tandem_settings::load;

use crate::failure::Failure;
use crate::output::{Grid, or_dash, print_json};
use crate::time::{span, unix_ms};
use crate::{Context, examples, user};

/// `tandem registrations`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem registrations" => "one line for each phone",
    "tandem registrations --json" => "the same, for programs"
))]
pub(crate) struct RegistrationsArgs {}

/// Prints the contacts that have not expired. Read from the database: they outlive the proxy.
pub(crate) fn run(context: &Context, _args: &RegistrationsArgs) -> Result<(), Failure> {
    let loaded = load(context.config.as_deref())?;
    let now = unix_ms();
    let accounts = user::open(&loaded)?.bindings(now, &any_listener())?;
    let contacts = accounts
        .iter()
        .flat_map(|(user, bindings)| bindings.iter().map(move |it| (user, it)));
    if context.json {
        return print_json(&contacts.map(|(user, it)| to_json(user, it)).collect());
    }
    let mut grid = Grid::new(&["USER", "CONTACT", "FROM", "BY", "EXPIRES IN", "PHONE"]);
    for (user, binding) in contacts {
        let left = Duration::from_millis(binding.expires_unix_ms.saturating_sub(now));
        grid.row([
            user.clone(),
            binding.uri.clone(),
            binding.received.to_string(),
            transport(binding).to_owned(),
            span(left),
            or_dash(binding.user_agent.clone()),
        ]);
    }
    grid.print("no phone is registered")
}

/// The store gives each contact to a listener that can serve it; here all are wanted.
fn any_listener() -> Vec<Listener> {
    let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let listener = |transport, address| Listener {
        transport,
        address: SocketAddr::new(address, 5060),
        prefix_len: 0,
        advertised: None,
    };
    [Transport::Udp, Transport::Tcp]
        .into_iter()
        .flat_map(|transport| addresses.map(|address| listener(transport, address)))
        .collect()
}

fn transport(binding: &Binding) -> &'static str {
    match binding.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

fn to_json(user: &str, binding: &Binding) -> Value {
    json!({
        "user": user,
        "contact": binding.uri,
        "received": binding.received.to_string(),
        "transport": transport(binding),
        "expires_unix_ms": binding.expires_unix_ms,
        "q": f64::from(binding.q) / 1_000.0,
        "user_agent": binding.user_agent,
        "path": binding.path,
    })
}
