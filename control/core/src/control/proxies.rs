//! What each client asks for, and how long it waits.
//!
//! A client is an address: a proxy may ask from many ports.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use control_ng::Dictionary;

use super::survey::fraction;

/// Clients that are counted apart; what others ask for is in the sums alone. A datagram must have
/// room for all of them.
const PROXIES_MAX: usize = 16;

/// How long an interval is.
const INTERVAL: Duration = Duration::from_secs(60);

/// Commands, and what the peer calls them in names of counts.
pub(super) const COMMANDS: [(&str, &str); 23] = [
    ("answer", "answer"),
    ("block DTMF", "blkdtmf"),
    ("block media", "blkmedia"),
    ("cli", "cli"),
    ("connect", "conn"),
    ("create", "create"),
    ("create answer", "crtansw"),
    ("delete", "delete"),
    ("list", "list"),
    ("mesh", "mesh"),
    ("offer", "offer"),
    ("ping", "ping"),
    ("play media", "playmedia"),
    ("query", "query"),
    ("silence media", "slnmedia"),
    ("start forwarding", "startfwd"),
    ("statistics", "stats"),
    ("stop forwarding", "stopfwd"),
    ("stop media", "stopmedia"),
    ("unblock DTMF", "unblkdtmf"),
    ("unblock media", "unblkmedia"),
    ("unsilence media", "unslnmedia"),
    ("unsubscribe", "unsub"),
];

/// What was asked for, by whom, and in the last minute.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    known: Vec<Proxy>,
    all: Delays,
    uncounted: u64,
    intervals: Intervals,
}

#[derive(Debug)]
struct Proxy {
    address: IpAddr,
    delays: Delays,
    errors: u64,
}

/// By the number of the command.
type Delays = [Delay; COMMANDS.len()];

/// How long requests took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Delay {
    count: u64,
    sum: Duration,
    min: Duration,
    max: Duration,
}

/// The interval that is under way, and the one before it.
#[derive(Debug, Default)]
struct Intervals {
    began: Option<Instant>,
    current: Interval,
    last: Interval,
}

#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    delays: Delays,
    calls_min: u64,
    calls_max: u64,
    /// How long the calls lasted that ended in it.
    ended: Duration,
}

impl Delay {
    fn note(&mut self, delay: Duration) {
        self.min = match self.count {
            0 => delay,
            _ => self.min.min(delay),
        };
        self.max = self.max.max(delay);
        self.sum += delay;
        self.count += 1;
    }

    fn average(&self) -> Duration {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        self.sum / count.max(1)
    }
}

impl Proxies {
    /// A request was answered, after a while.
    pub(super) fn note(&mut self, address: IpAddr, command: &str, delay: Duration) {
        let Some(index) = COMMANDS.iter().position(|(name, _)| *name == command) else {
            return;
        };
        self.all[index].note(delay);
        self.intervals.current.delays[index].note(delay);
        match self.of(address) {
            Some(proxy) => proxy.delays[index].note(delay),
            None => self.uncounted += 1,
        }
    }

    /// A request was answered with an error.
    pub(super) fn note_error(&mut self, address: IpAddr) {
        match self.of(address) {
            Some(proxy) => proxy.errors += 1,
            None => self.uncounted += 1,
        }
    }

    fn of(&mut self, address: IpAddr) -> Option<&mut Proxy> {
        let known = self.known.iter().position(|it| it.address == address);
        if known.is_none() && self.known.len() < PROXIES_MAX {
            self.known.push(Proxy {
                address,
                delays: Delays::default(),
                errors: 0,
            });
            return self.known.last_mut();
        }
        self.known.get_mut(known?)
    }

    /// Requests for something that were answered.
    pub(super) fn answered(&self, command: &str) -> u64 {
        let index = COMMANDS.iter().position(|(name, _)| *name == command);
        index.map_or(0, |index| self.all[index].count)
    }

    /// Requests of clients that there was no room for.
    pub(super) fn uncounted(&self) -> u64 {
        self.uncounted
    }

    /// Says how many calls there are. To be said before something is noted, and before the
    /// interval is read: so it begins and ends in time.
    pub(super) fn note_calls(&mut self, now: Instant, calls: u64) {
        self.intervals.roll(now, calls);
        let current = &mut self.intervals.current;
        current.calls_min = current.calls_min.min(calls);
        current.calls_max = current.calls_max.max(calls);
    }

    /// A call is over.
    pub(super) fn note_end(&mut self, duration: Duration) {
        self.intervals.current.ended += duration;
    }

    pub(super) fn to_list(&self) -> Vec<control_ng::Value<'static>> {
        let proxies = self.known.iter().map(|proxy| {
            let address = proxy.address.to_string();
            let mut row = Dictionary::new().with("proxy", address);
            for ((_, name), delay) in COMMANDS.iter().zip(&proxy.delays) {
                row.push(format!("{name}count").into_bytes(), delay.count);
                row.push(format!("{name}duration").into_bytes(), seconds(delay.sum));
            }
            row.with("errorcount", proxy.errors).into()
        });
        proxies.collect()
    }

    /// The last interval that is over.
    pub(super) fn interval(&self) -> Dictionary<'static> {
        let last = &self.intervals.last;
        let mut all = Dictionary::new()
            .with("totalcallsduration", seconds(last.ended))
            .with("minmanagedsessions", last.calls_min)
            .with("maxmanagedsessions", last.calls_max);
        for ((command, _), delay) in COMMANDS.iter().zip(&last.delays) {
            let key = |what: &str| format!("{what}{command}delay").into_bytes();
            all.push(key("min"), seconds(delay.min));
            all.push(key("max"), seconds(delay.max));
            all.push(key("avg"), seconds(delay.average()));
        }
        for ((command, _), delay) in COMMANDS.iter().zip(&last.delays) {
            let per_second = delay.count / INTERVAL.as_secs();
            all.push(format!("avg{command}requestrate").into_bytes(), per_second);
        }
        all
    }
}

impl Intervals {
    fn roll(&mut self, now: Instant, calls: u64) {
        let began = *self.began.get_or_insert(now);
        let age = now.saturating_duration_since(began);
        if age < INTERVAL {
            return;
        }
        let begun = Interval {
            calls_min: calls,
            calls_max: calls,
            ..Interval::default()
        };
        self.last = std::mem::replace(&mut self.current, begun);
        if age >= 2 * INTERVAL {
            // Nothing happened in the last one, nor did the number of calls change.
            self.last = begun;
        }
        let rest = age.as_secs() % INTERVAL.as_secs();
        self.began = now.checked_sub(Duration::from_secs(rest));
    }
}

fn seconds(time: Duration) -> String {
    fraction(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::start;

    fn at(seconds: u64) -> Instant {
        start() + Duration::from_secs(seconds)
    }

    fn address(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    fn text(of: &Dictionary<'_>, key: &str) -> String {
        of.get(key).unwrap().as_str().unwrap().to_owned()
    }

    fn number(of: &Dictionary<'_>, key: &str) -> i64 {
        of.get(key).unwrap().as_integer().unwrap()
    }

    #[test]
    fn each_proxy_is_counted_apart() {
        let mut proxies = Proxies::default();
        proxies.note(address(1), "offer", Duration::from_millis(2));
        proxies.note(address(1), "offer", Duration::from_millis(4));
        proxies.note(address(2), "block DTMF", Duration::ZERO);
        proxies.note(address(2), "no such command", Duration::ZERO);
        proxies.note_error(address(2));
        let list = proxies.to_list();
        let [one, two] = &list[..] else {
            panic!("{list:?}");
        };
        let (one, two) = (one.as_dictionary().unwrap(), two.as_dictionary().unwrap());
        assert_eq!(text(one, "proxy"), "192.0.2.1");
        assert_eq!(number(one, "offercount"), 2);
        assert_eq!(text(one, "offerduration"), "0.006000");
        assert_eq!(
            (number(one, "errorcount"), number(two, "errorcount")),
            (0, 1)
        );
        assert_eq!(
            (number(two, "offercount"), number(two, "blkdtmfcount")),
            (0, 1)
        );
        assert_eq!(proxies.answered("offer"), 2);
    }

    #[test]
    fn proxies_beyond_the_limit_are_in_the_sums() {
        let mut proxies = Proxies::default();
        let all = u8::try_from(PROXIES_MAX).unwrap() + 2;
        for number in 0..all {
            proxies.note(address(number), "ping", Duration::ZERO);
        }
        assert_eq!(proxies.to_list().len(), PROXIES_MAX);
        assert_eq!(
            (proxies.answered("ping"), proxies.uncounted()),
            (all.into(), 2)
        );
    }

    #[test]
    fn all_of_them_have_room_in_a_datagram() {
        let mut proxies = Proxies::default();
        for number in 0..=u8::MAX {
            let address = IpAddr::from([0xfd00 + u16::from(number); 8]);
            for (command, _) in COMMANDS {
                proxies.note(address, command, Duration::from_secs(100_000_000));
            }
        }
        for proxy in &mut proxies.known {
            for delay in &mut proxy.delays {
                delay.count = u32::MAX.into();
            }
        }
        let reply = control_ng::reply::ok()
            .with("proxies", proxies.to_list())
            .with("interval", proxies.interval())
            .encode(b"1");
        assert!(reply.len() < 40_000, "{}", reply.len());
    }

    #[test]
    fn an_interval_is_told_when_it_is_over() {
        let mut proxies = Proxies::default();
        let ms = Duration::from_millis;
        proxies.note_calls(at(0), 0);
        for (s, calls, delay) in [(1, 3, 5), (2, 1, 7), (59, 2, 6)] {
            proxies.note_calls(at(s), calls);
            proxies.note(address(1), "offer", ms(delay));
        }
        proxies.note_end(ms(1_500));
        assert_eq!(number(&proxies.interval(), "maxmanagedsessions"), 0);
        proxies.note_calls(at(61), 2);
        proxies.note(address(1), "offer", ms(900));
        let last = proxies.interval();
        assert_eq!(number(&last, "minmanagedsessions"), 0);
        assert_eq!(number(&last, "maxmanagedsessions"), 3);
        assert_eq!(text(&last, "totalcallsduration"), "1.500000");
        for (key, expected) in [
            ("minofferdelay", "0.005000"),
            ("maxofferdelay", "0.007000"),
            ("avgofferdelay", "0.006000"),
            ("maxblock DTMFdelay", "0.000000"),
        ] {
            assert_eq!(text(&last, key), expected, "{key}");
        }
        assert_eq!(number(&last, "avgofferrequestrate"), 0);
        // The next one began at 60.
        for _ in 0..120 {
            proxies.note(address(1), "answer", ms(1));
        }
        proxies.note_calls(at(120), 2);
        assert_eq!(text(&proxies.interval(), "maxofferdelay"), "0.900000");
        assert_eq!(number(&proxies.interval(), "avganswerrequestrate"), 2);
        // Nothing was asked for longer than an interval.
        proxies.note_calls(at(1_000), 2);
        assert_eq!(text(&proxies.interval(), "maxofferdelay"), "0.000000");
        assert_eq!(number(&proxies.interval(), "minmanagedsessions"), 2);
    }
}
