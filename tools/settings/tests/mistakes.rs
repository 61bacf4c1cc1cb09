//! Every kind of mistake in `tandem.toml` is answered with its line and its cure.

use std::fs;
use std::path::Path;

use tandem_settings::{Loaded, load};

/// What the operator reads, for a file of this text.
fn complaint(text: &str) -> String {
    match Loaded::parse(Path::new("/etc/tandem/tandem.toml"), text) {
        Ok(_loaded) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_slip_of_the_pen_is_answered_with_the_nearest_key() {
    assert_eq!(
        complaint("[relay]\nworkers = 2\nprots = [30000, 30999]\n"),
        "/etc/tandem/tandem.toml:3:1: relay.prots: unknown key; did you mean ports?\n  \
         |\n3 | prots = [30000, 30999]\n  | ^^^^^"
    );
}

#[test]
fn an_unknown_table_is_answered_with_the_nearest_table() {
    let text = complaint("\n[sipproxy]\ncalls_max = 1\n");
    assert!(
        text.starts_with(
            "/etc/tandem/tandem.toml:2:2: sipproxy: unknown key; did you mean sip_proxy?"
        ),
        "{text}"
    );
}

#[test]
fn a_key_like_no_other_is_answered_with_those_there_are() {
    let text = complaint("[log]\nxyzzy = 1\n");
    assert!(
        text.contains("log.xyzzy: unknown key; known here: level, format, lines_per_second_max"),
        "{text}"
    );
}

#[test]
fn a_wrong_type_names_the_key_and_its_default() {
    let text = complaint("[relay]\n\nworkers = \"two\"\n");
    assert!(text.starts_with("/etc/tandem/tandem.toml:3:11: relay.workers: invalid type: string \"two\", expected u8; the default is 0"), "{text}");
}

#[test]
fn a_number_out_of_range_names_the_element() {
    let text = complaint("[relay]\nports = [30000, 70000]\n");
    assert!(
        text.starts_with("/etc/tandem/tandem.toml:2:17: relay.ports[1]: "),
        "{text}"
    );
    assert!(text.contains("the default is [30000, 39999]"), "{text}");
}

#[test]
fn a_bad_address_names_the_key() {
    let text = complaint("[control]\nlisten = [\"127.0.0.1:2223\", \"localhost\"]\n");
    assert!(
        text.starts_with(
            "/etc/tandem/tandem.toml:2:29: control.listen[1]: invalid socket address syntax"
        ),
        "{text}"
    );
}

#[test]
fn an_unknown_choice_lists_the_choices() {
    let text = complaint("[relay]\ndriver = \"urign\"\n");
    assert!(
        text.starts_with("/etc/tandem/tandem.toml:2:10: relay.driver: "),
        "{text}"
    );
    assert!(text.contains("did you mean uring?"), "{text}");
}

#[test]
fn a_misspelt_log_level_is_not_taken_for_a_module() {
    let text = complaint("[log]\nlevel = \"wran\"\n");
    assert!(
        text.starts_with("/etc/tandem/tandem.toml:2:1: log.level: \"wran\" is not a level"),
        "{text}"
    );
    assert!(text.contains("error, warn, info, debug, trace"), "{text}");
    let filter = "[log]\nlevel = \"info,control=debug\"\n";
    assert!(Loaded::parse(Path::new("tandem.toml"), filter).is_ok());
}

#[test]
fn broken_syntax_names_the_line() {
    let text = complaint("[relay]\nworkers = \n");
    assert!(text.starts_with("/etc/tandem/tandem.toml:2:"), "{text}");
    let text = complaint("[relay]\nworkers = 1\nworkers = 2\n");
    assert!(text.starts_with("/etc/tandem/tandem.toml:3:1: "), "{text}");
    assert!(text.contains("duplicate"), "{text}");
}

#[test]
fn a_daemon_can_say_that_a_value_is_wrong() {
    let path = Path::new("tandem.toml");
    let loaded = Loaded::parse(path, "[relay]\nports = [\n  30001,\n  30999,\n]\n").unwrap();
    assert_eq!(loaded.locate("relay.ports"), Some(2));
    let error = loaded.wrong("relay.ports[0]", "must be even", "use 30000");
    assert_eq!(
        error.to_string(),
        "tandem.toml:3:3: relay.ports[0]: must be even; use 30000\n  |\n3 |   30001,\n  |   ^^^^^"
    );
    let error = loaded.wrong("control.listen", "nobody listens", "");
    assert_eq!(
        error.to_string(),
        "tandem.toml: control.listen: nobody listens"
    );
    let error = Loaded::defaults().wrong("control.listen", "nobody listens", "");
    assert_eq!(
        error.to_string(),
        "default settings: control.listen: nobody listens"
    );
}

#[test]
fn a_file_that_is_named_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.toml");
    let text = load(Some(&path)).unwrap_err().to_string();
    assert!(
        text.contains("absent.toml (named by --config): No such file"),
        "{text}"
    );
}

#[test]
fn folders_are_beside_the_file_and_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.toml");
    fs::write(
        &path,
        "[tandem]\ndata_dir = \"state\"\n[sip_proxy]\ndomains = [\"example.org\"]\n",
    )
    .unwrap();
    let loaded = load(Some(&path)).unwrap();
    let data = folder.path().join("state");
    assert_eq!(loaded.create_runtime_dir().unwrap(), data.join("run"));
    for made in [&data, &data.join("run")] {
        let mode = fs::metadata(made).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", made.display());
    }
    assert_eq!(loaded.database_path(), data.join("tandem.sqlite3"));
    assert_eq!(loaded.relay_socket(), data.join("run/relay.sock"));
    assert_eq!(loaded.sip_proxy_socket(), data.join("run/sip-proxy.sock"));
    assert_eq!(loaded.realm(), "example.org");
    assert_eq!(Loaded::defaults().realm(), "tandem");
}

#[test]
fn a_folder_that_strangers_may_write_to_is_closed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let loaded = Loaded::parse(&folder.path().join("tandem.toml"), "").unwrap();
    loaded.create_data_dir().unwrap();
    let mode = fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn relaying_can_be_switched_off_and_the_file_read_back() {
    let path = Path::new("tandem.toml");
    let loaded = Loaded::parse(path, "[sip_proxy]\ncontrol = \"\"\n").unwrap();
    assert_eq!(loaded.file.sip_proxy.control, None);
    let written = toml::to_string(&loaded.file).unwrap();
    assert_eq!(Loaded::parse(path, &written).unwrap().file, loaded.file);
    let text = complaint("[sip_proxy]\ncontrol = \"localhost\"\n");
    assert!(
        text.contains(":2:11: sip_proxy.control: invalid socket address"),
        "{text}"
    );
}
