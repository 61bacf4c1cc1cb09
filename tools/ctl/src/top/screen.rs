//! The terminal: taken for as long as it is watched, and given back as it was, however that ends.

use std::io::{self, stdin, stdout};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::write_out;

/// The other screen, without a cursor (xterm's control sequences).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";

/// Back, with one.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The upper left corner.
const HOME: &str = "\x1b[H";

/// Erases what is left of a line, and below it.
const ERASE_LINE: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";

/// How much fits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Size {
    /// Where nothing bounds it.
    pub(super) const UNLIMITED: Self = Self {
        rows: usize::MAX,
        columns: usize::MAX,
    };

    /// What is assumed of a terminal that does not say.
    const USUAL: Self = Self {
        rows: 24,
        columns: 80,
    };
}

/// What came while waiting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Input {
    Key(u8),
    Nothing,
    /// A signal, or nobody is there any more.
    Stop,
}

/// The terminal, while it is ours.
pub(super) struct Screen {
    before: Termios,
    must_stop: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal: keys come at once and unseen. Ctrl-C stays a signal.
    pub(super) fn open() -> io::Result<Self> {
        let must_stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&must_stop))?;
        }
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        // Put to sleep, it could not give the terminal back.
        raw.special_codes[SpecialCodeIndex::VSUSP] = 0;
        let for_panic = before.clone();
        // A panic ends the process without unwinding: the screen must be given back before it is
        // told.
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            give_back(&for_panic);
            tell(what);
        }));
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        let screen = Self { before, must_stop };
        write_out(ENTER)?;
        Ok(screen)
    }

    /// How much fits now.
    pub(super) fn size(&self) -> Size {
        match tcgetwinsize(stdout()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => Size {
                rows: size.ws_row.into(),
                columns: size.ws_col.into(),
            },
            _ => Size::USUAL,
        }
    }

    /// Shows these lines and nothing else.
    pub(super) fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut text = HOME.to_owned();
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                text.push_str("\r\n");
            }
            text.push_str(line);
            text.push_str(ERASE_LINE);
        }
        text.push_str(ERASE_BELOW);
        write_out(&text)
    }

    /// Waits for a key.
    pub(super) fn wait(&self, until: Instant) -> io::Result<Input> {
        if self.must_stop.load(Ordering::Relaxed) {
            return Ok(Input::Stop);
        }
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let input = stdin();
        let mut fds = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut fds, left.as_ref()) {
            Ok(0) => return Ok(Input::Nothing),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {
                let is_over = self.must_stop.load(Ordering::Relaxed);
                // Whatever else it was, such as a new size: drawn again.
                return Ok(if is_over { Input::Stop } else { Input::Nothing });
            }
            Err(error) => return Err(error.into()),
        }
        let mut key = [0];
        match rustix::io::read(&input, &mut key) {
            Ok(1) => Ok(Input::Key(key[0])),
            Ok(_) => Ok(Input::Stop),
            Err(rustix::io::Errno::INTR) => Ok(Input::Nothing),
            Err(_) => Ok(Input::Stop),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back(&self.before);
    }
}

fn give_back(before: &Termios) {
    // Nothing more can be done if that fails: the terminal is gone.
    let _ = tcsetattr(stdin(), OptionalActions::Now, before);
    let _ = write_out(LEAVE);
}
