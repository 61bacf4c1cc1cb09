//! Who takes part: our relay in several settings, and rtpengine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// Ours as it is unless it is told otherwise: the one that the budgets are stated for.
pub(crate) const OURS: &str = "uring";

/// Ours with more patience: the budget of 1 ms of waiting.
pub(crate) const OURS_PATIENT: &str = "uring-1000";

/// Ours with the kernel's table: between two hosts only, since over loopback it has nothing to do.
pub(crate) const OURS_IN_KERNEL: &str = "kernel";

/// Debian's rtpengine.
pub(crate) const PEER: &str = "rtpengine";

/// Variants of this name, or whose names begin with it and a dash, are no relays, but what is
/// beneath all of them: a forwarder that only forwards (`bin/floor`).
const FLOOR: &str = "floor";

/// A newer one.
pub(crate) const PEER_NEWER: &str = "rtpengine-newer";

/// Ours, and what is set in `[relay]`.
const VARIANTS: [(&str, &str); 5] = [
    (OURS, "driver = \"uring\",batch_wait_us = 300"),
    ("uring-0", "driver = \"uring\",batch_wait_us = 0"),
    (OURS_PATIENT, "driver = \"uring\",batch_wait_us = 1000"),
    ("poll", "driver = \"poll\""),
    (
        OURS_IN_KERNEL,
        "kernel_table = \"on\",kernel_table_xdp = \"generic\"",
    ),
];

/// A relay that takes part.
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    /// In tables; without blanks.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Takes part in everything.
    pub(crate) is_main: bool,
}

/// How it is started.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Ours: the folder of the programs, and lines for the section `[relay]`.
    Tandem { folder: PathBuf, settings: String },
    /// The program.
    Rtpengine { program: PathBuf },
    /// The program, and its options.
    Floor {
        program: PathBuf,
        options: Vec<String>,
    },
}

impl Contestant {
    /// Whether the kernel is to forward by itself.
    pub(crate) fn has_kernel_table(&self) -> bool {
        self.has_setting("kernel_table")
    }

    /// Whether it is to do so in the driver, where frames come in without RPS.
    pub(crate) fn has_native_kernel_table(&self) -> bool {
        self.has_setting("native")
    }

    fn has_setting(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Tandem { settings, .. } if settings.contains(word))
    }
}

/// Who may take part.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    /// Folder of our programs.
    pub(crate) folder: PathBuf,
    pub(crate) rtpengine: &'a Path,
    pub(crate) newer: Option<&'a Path>,
    /// More of ours, as NAME:KEY=VALUE,KEY=VALUE; the key `folder` is that of the programs.
    pub(crate) variants: &'a [String],
    /// Names; all, if there are none.
    pub(crate) only: &'a [String],
}

impl Contestant {
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Tandem { .. })
    }

    pub(crate) fn is_peer(&self) -> bool {
        matches!(self.kind, Kind::Rtpengine { .. })
    }

    /// What is beneath all relays, and speaks no more ng than it must.
    pub(crate) fn is_floor(&self) -> bool {
        matches!(self.kind, Kind::Floor { .. })
    }

    /// What it says that it is, and what was set.
    pub(crate) fn version(&self) -> String {
        let (program, settings) = match &self.kind {
            Kind::Tandem { folder, settings } => (folder.join("tandem-relay"), settings.clone()),
            Kind::Rtpengine { program } => {
                (program.clone(), "--table=-1 --num-threads=1".to_owned())
            }
            Kind::Floor { program, options } => (program.clone(), options.join(" ")),
        };
        let output = Command::new(&program).arg("--version").output();
        let text = output.map(|it| [it.stdout, it.stderr].concat());
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        let version = text.lines().next().unwrap_or("unknown").trim();
        format!("{version}, {}", settings.replace('\n', ", "))
    }
}

/// All that are there; says in `skipped` who is not.
pub(crate) fn gather(choice: &Choice<'_>, skipped: &mut Vec<String>) -> Result<Vec<Contestant>> {
    let folder = &choice.folder;
    let mut programs = ["tandem-relay", "tandem-control"].into_iter();
    if let Some(program) = programs.find(|it| !folder.join(it).exists()) {
        bail!(
            "there is no {program} in {}: cargo build --release -p relay -p control -p sip-proxy",
            folder.display()
        );
    }
    let mut all = Vec::new();
    for (name, settings) in VARIANTS {
        all.push(tandem(folder, name, settings));
    }
    for variant in choice.variants {
        all.push(self::variant(folder, variant)?);
    }
    for (name, program) in [(PEER, Some(choice.rtpengine)), (PEER_NEWER, choice.newer)] {
        let Some(program) = program else { continue };
        if program.exists() {
            all.push(Contestant {
                name: name.to_owned(),
                kind: Kind::Rtpengine {
                    program: program.to_owned(),
                },
                is_main: true,
            });
        } else {
            let reason = format!("{name}: there is no {}", program.display());
            println!("SKIPPED: {reason}");
            skipped.push(reason);
        }
    }
    all.retain(|it| choice.only.is_empty() || choice.only.contains(&it.name));
    if all.is_empty() {
        bail!("no relay of these names: {}", choice.only.join(", "));
    }
    Ok(all)
}

/// One that was asked for as NAME:KEY=VALUE,KEY=VALUE.
fn variant(folder: &Path, text: &str) -> Result<Contestant> {
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    if name.split('-').next() == Some(FLOOR) {
        return Ok(floor(folder, name, settings));
    }
    if settings.is_empty() {
        bail!("{text} is not of the form NAME:KEY=VALUE");
    }
    let (mut folder, mut rest) = (folder, Vec::new());
    for setting in settings.split(',') {
        match setting.strip_prefix("folder=") {
            Some(other) => folder = Path::new(other),
            None => rest.push(setting),
        }
    }
    Ok(tandem(folder, name, &rest.join(",")))
}

fn floor(folder: &Path, name: &str, settings: &str) -> Contestant {
    let options = settings.split(',').filter(|it| !it.is_empty());
    Contestant {
        name: name.to_owned(),
        kind: Kind::Floor {
            program: folder.join(FLOOR),
            options: options.map(|it| format!("--{it}")).collect(),
        },
        is_main: false,
    }
}

fn tandem(folder: &Path, name: &str, settings: &str) -> Contestant {
    Contestant {
        name: name.to_owned(),
        kind: Kind::Tandem {
            folder: folder.to_owned(),
            settings: settings.replace(',', "\n"),
        },
        is_main: name == OURS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice<'a>(folder: &Path, variants: &'a [String], only: &'a [String]) -> Choice<'a> {
        Choice {
            folder: folder.to_owned(),
            rtpengine: Path::new("/no/such/rtpengine"),
            newer: None,
            variants,
            only,
        }
    }

    #[test]
    fn who_is_not_there_is_said_and_who_is_named_takes_part() {
        let folder = tempfile::tempdir().unwrap();
        let mut skipped = Vec::new();
        assert!(gather(&choice(folder.path(), &[], &[]), &mut skipped).is_err());
        for program in ["tandem-relay", "tandem-control"] {
            std::fs::write(folder.path().join(program), "").unwrap();
        }
        let all = gather(&choice(folder.path(), &[], &[]), &mut skipped).unwrap();
        assert_eq!(all.len(), VARIANTS.len());
        assert_eq!(all.iter().filter(|it| it.is_main).count(), 1);
        assert_eq!(skipped.len(), 1);
        let variants = ["mine:driver=\"poll\",ports=[2,4]".to_owned()];
        let only = ["mine".to_owned()];
        let all = gather(&choice(folder.path(), &variants, &only), &mut skipped).unwrap();
        assert_eq!(all.len(), 1);
        let wrong = ["mine".to_owned()];
        assert!(gather(&choice(folder.path(), &wrong, &[]), &mut skipped).is_err());
        let floors = ["floor", "floor-mmsg:driver=mmsg,wait-us=0"].map(str::to_owned);
        let all = gather(&choice(folder.path(), &floors, &floors[..1]), &mut skipped).unwrap();
        assert!(all.len() == 1 && all[0].is_floor() && !all[0].is_ours());
        let floor = variant(folder.path(), &floors[1]).unwrap();
        let Kind::Floor { options, .. } = floor.kind else {
            panic!("{floor:?}");
        };
        assert_eq!(options, ["--driver=mmsg", "--wait-us=0"]);
        let other = variant(folder.path(), "new:folder=/other,driver=\"poll\"").unwrap();
        let Kind::Tandem {
            folder: at,
            settings,
        } = other.kind
        else {
            panic!("{other:?}");
        };
        assert_eq!(
            (at.as_path(), settings.as_str()),
            (Path::new("/other"), "driver=\"poll\"")
        );
        let nobody = ["nobody".to_owned()];
        assert!(gather(&choice(folder.path(), &[], &nobody), &mut skipped).is_err());
    }
}
