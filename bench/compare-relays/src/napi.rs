//! What a cable of veth needs so that the kernel's table can work at one end of it.
//!
//! Frames that a program sends back arrive only if the other end runs a program, too; and they are
//! taken in by whoever sent them, unless that is done by a thread (`threaded`), which can be given
//! a core as a network card's queue would be.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use relay_xdp::testing::pass_everything;
use rustix::net::netdevice::name_to_index;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::namespace::{Namespace, run};
use crate::world::{Cores, TwoHosts};

/// Has both ends take frames in on their own cores, ahead of all else there, as interrupts do. The
/// relay's end has its program already. What is returned keeps the other end's.
pub(crate) fn prepare(hosts: &TwoHosts, cores: Cores) -> Result<OwnedFd> {
    let program = hosts.load.within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(pass_everything(name_to_index(socket, TwoHosts::DEVICE)?)?)
    })?;
    for (namespace, core) in [(&hosts.load, cores.load), (&hosts.relay, cores.relay)] {
        settle(namespace, core)?;
    }
    Ok(program)
}

fn settle(namespace: &Namespace, core: usize) -> Result<()> {
    let device = TwoHosts::DEVICE;
    let before = threads(device)?;
    namespace.write(&format!("/sys/class/net/{device}/threaded"), "1")?;
    let after = threads(device)?;
    let mut new = after.difference(&before).peekable();
    new.peek().context("the kernel has no threads for NAPI")?;
    for thread in new {
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(Pid::from_raw(*thread), &only)?;
        run(&["chrt", "-f", "-p", "1", &thread.to_string()])?;
    }
    Ok(())
}

/// Threads of the kernel that take frames in from interfaces of this name, in all namespaces.
fn threads(device: &str) -> Result<BTreeSet<i32>> {
    let name = format!("napi/{device}-");
    let entries = fs::read_dir("/proc")?.flatten();
    let pids = entries.filter_map(|it| it.file_name().to_str()?.parse().ok());
    let is_one = |pid: &i32| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
        comm.is_ok_and(|it| it.starts_with(&name))
    };
    Ok(pids.filter(is_one).collect())
}
