//! What the processes need while nothing happens.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use tandem_load::watch::resident_kib;

use crate::plan::Plan;
use crate::relay::Running;
use crate::results::Idle;
use crate::world::SinkWorld;

/// What starts takes a little more than what waits.
const SETTLE: Duration = Duration::from_secs(2);

/// Seconds that it is thought to take for each relay.
pub(crate) const EXPECTED_S: f64 = 3.5;

/// Reads the memory of each relay's processes; of ours, of the proxy's, too.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, idles: &mut Vec<Idle>) -> Result<()> {
    for contestant in plan.main() {
        if plan.is_stopped(stop) {
            break;
        }
        let world = SinkWorld::new(&contestant.name)?;
        let core = plan.cores.relay;
        let relay = Running::start_all(contestant, &world.namespace, SinkWorld::RELAY, core)?;
        thread::sleep(SETTLE);
        let processes = relay.processes();
        let resident = processes.map(|(name, pid)| (name, resident_kib(pid)));
        let idle = Idle {
            relay: contestant.name.clone(),
            resident_kib: resident.collect(),
        };
        plan.clock.tick(EXPECTED_S);
        plan.clock.tell(&idle.line());
        idles.push(idle);
    }
    Ok(())
}
