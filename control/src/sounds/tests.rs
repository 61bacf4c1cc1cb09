//! Files and blobs, as the relay gets them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use control_core::Source;
use relay_wire::SampleRate::{Narrow, Wide};

use super::shelf::Shelf;
use super::*;

/// A file of so many samples, 8,000 a second.
fn wav(samples: usize) -> Vec<u8> {
    let mut file =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data"
            .to_vec();
    file.extend(u32::try_from(2 * samples).unwrap().to_le_bytes());
    file.resize(file.len() + 2 * samples, 3);
    file
}

fn load(source: Source) -> Load {
    Load {
        id: 7,
        source,
        rates: vec![Narrow],
    }
}

fn file(path: &str) -> Load {
    load(Source::File(path.as_bytes().to_vec()))
}

/// What is loaded: names of sounds, how many are new, and how many are over.
fn taken(shelf: &mut Shelf, load: &Load) -> Option<(Vec<SoundKey>, usize, usize)> {
    let (mut new, mut over) = (Vec::new(), Vec::new());
    let loaded = shelf.load(load, &mut new, &mut over).ok()?;
    let names = loaded.sounds.into_iter().map(|(_, key)| key);
    Some((names.collect(), new.len(), over.len()))
}

#[test]
fn files_below_the_folder_are_read_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
    for folder in [&inside.join("deep"), &outside] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("a.wav"), wav(80)).unwrap();
    }
    symlink(outside.join("a.wav"), inside.join("away.wav")).unwrap();
    symlink("deep/a.wav", inside.join("link.wav")).unwrap();
    symlink("/proc/self/root", inside.join("root")).unwrap();
    let mut shelf = Shelf::new(Some(inside.clone()));
    let whole = inside.join("deep/a.wav");
    for path in [
        "deep/a.wav",
        "link.wav",
        "deep/../link.wav",
        whole.to_str().unwrap(),
    ] {
        assert!(taken(&mut shelf, &file(path)).is_some(), "{path}");
    }
    let away = outside.join("a.wav");
    let wrong = [
        "",
        ".",
        "deep",
        "none.wav",
        "a\0.wav",
        "away.wav",
        "../out/a.wav",
        "deep/../../out/a.wav",
        "root/etc/passwd",
        "/etc/passwd",
        "/dev/zero",
        away.to_str().unwrap(),
    ];
    for path in wrong {
        assert!(taken(&mut shelf, &file(path)).is_none(), "{path}");
    }
    let mut without = Shelf::new(None);
    assert!(taken(&mut without, &file("deep/a.wav")).is_none());
}

#[test]
fn a_pipe_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("pipe.wav"),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    let mut shelf = Shelf::new(Some(folder.path().to_owned()));
    assert!(taken(&mut shelf, &file("pipe.wav")).is_none());
}

#[test]
fn the_same_file_is_given_to_the_relay_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    fs::write(&path, wav(80)).unwrap();
    let mut shelf = Shelf::new(Some(folder.path().to_owned()));
    let (first, new, _) = taken(&mut shelf, &file("a.wav")).unwrap();
    assert_eq!((first.len(), new), (1, 1));
    assert_eq!(
        taken(&mut shelf, &file("a.wav")),
        Some((first.clone(), 0, 0))
    );
    // It has changed, or another relay is there.
    fs::write(&path, wav(81)).unwrap();
    let (second, new, _) = taken(&mut shelf, &file("a.wav")).unwrap();
    assert!(second != first && new == 1);
    shelf.begin(1);
    let (third, new, _) = taken(&mut shelf, &file("a.wav")).unwrap();
    assert!(third != second && new == 1);
    let both = Load {
        rates: vec![Wide, Narrow],
        ..file("a.wav")
    };
    assert_eq!(taken(&mut shelf, &both).unwrap().1, 2);
    assert_eq!(taken(&mut shelf, &both).unwrap().1, 0);
}

#[test]
fn there_is_an_end_to_what_the_relay_keeps() {
    let mut shelf = Shelf::new(None);
    let blob = || load(Source::Blob(wav(1)));
    let over = |shelf: &mut Shelf| taken(shelf, &blob()).unwrap().2;
    let all: usize = (0..1_000).map(|_| over(&mut shelf)).sum();
    assert_eq!(all, 1_000 - 512);
    let long = load(Source::Blob(wav(4_000_000)));
    let all: usize = (0..20).map(|_| taken(&mut shelf, &long).unwrap().2).sum();
    assert_eq!(all, 512 + 20 - 8);
}

/// Waits for what was ordered.
fn wait(sounds: &Sounds) -> (u64, Result<Loaded, SoundError>, Vec<ToRelay>) {
    let mut sent = Vec::new();
    loop {
        let watched = rustix::event::PollFd::new(&sounds.wake, rustix::event::PollFlags::IN);
        rustix::event::poll(&mut [watched], None).unwrap();
        if let Some((id, result)) = sounds.poll(|message| sent.push(message.clone())) {
            return (id, result, sent);
        }
    }
}

#[test]
fn what_was_read_is_sent_in_pieces_before_it_is_told_of() {
    let sounds = Sounds::new(None).unwrap();
    sounds.load(load(Source::Blob(wav(70_000)))).unwrap();
    let (id, result, sent) = wait(&sounds);
    assert_eq!(id, 7);
    let (_, key) = result.unwrap().sounds[0];
    let pieces = sent.iter().map(|message| match message {
        ToRelay::Sound(piece) => (piece.sound, piece.start, piece.samples.len()),
        other => panic!("{other:?}"),
    });
    let expected = [
        (key, 0, 65_536),
        (key, 32_768, 65_536),
        (key, 65_536, 8_928),
    ];
    assert_eq!(pieces.collect::<Vec<_>>(), expected);
}

#[test]
fn what_another_relay_had_is_read_again() {
    let mut sounds = Sounds::new(None).unwrap();
    sounds.load(load(Source::Blob(wav(10)))).unwrap();
    sounds.handle_hello();
    let (_, result, sent) = wait(&sounds);
    assert!(result.is_ok());
    assert_eq!(sent.len(), 1);
}

#[test]
fn what_cannot_be_read_is_told() {
    let sounds = Sounds::new(Some(Path::new("/nowhere").to_owned())).unwrap();
    sounds.load(file("a.wav")).unwrap();
    let (id, result, sent) = wait(&sounds);
    assert_eq!((id, result.is_err(), sent.len()), (7, true, 0));
}
