//! `tandem user`: the accounts that may register and call.

use std::io::{self, BufRead, IsTerminal};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sip_proxy_store::{AccountRecord, Store, check_user};
use tandem_settings::{Loaded, load};

use crate::failure::Failure;
use crate::output::{Grid, print, print_json, remark};
use crate::password;
use crate::time::date_and_time;
use crate::{Context, examples};

/// Bytes that are read of a password; the store's own limit is lower and says so.
const PASSWORD_BYTES_MAX: u64 = 4_096;

/// `tandem user`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem user add carol" => "asks for the password",
    "tandem user add carol --generate" => "makes one up and prints it",
    "pass show sip/carol | tandem user passwd carol --stdin" => "takes it from a password safe"
))]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account
    Add(PasswordArgs),
    /// Show all accounts
    List,
    /// Set the password of an account
    Passwd(PasswordArgs),
    /// Delete an account and its registrations
    Del {
        /// The account's name
        name: String,
    },
}

/// There is no option to give the password itself: everybody on the host can read arguments.
#[derive(Args, Debug)]
struct PasswordArgs {
    /// The account's name: what others dial, and what the phone logs in with
    name: String,

    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "generate")]
    stdin: bool,

    /// Make a random password and print it
    #[arg(long)]
    generate: bool,
}

/// Does what `tandem user` is asked.
pub(crate) fn run(context: &Context, args: &UserArgs) -> Result<(), Failure> {
    let loaded = load(context.config.as_deref())?;
    match &args.command {
        UserCommand::Add(args) => set_password(context, &loaded, args, true),
        UserCommand::Passwd(args) => set_password(context, &loaded, args, false),
        UserCommand::List => list(context, &loaded),
        UserCommand::Del { name } => {
            open(&loaded)?.delete_account(name)?;
            report(context, name, "deleted", None)
        }
    }
}

/// Opens the database, made if it is not there.
pub(crate) fn open(loaded: &Loaded) -> Result<Store, Failure> {
    loaded.create_data_dir()?;
    Ok(Store::open(&loaded.database_path())?)
}

fn set_password(
    context: &Context,
    loaded: &Loaded,
    args: &PasswordArgs,
    is_new: bool,
) -> Result<(), Failure> {
    check_user(&args.name).map_err(|error| Failure::usage(error.to_string()))?;
    let mut store = open(loaded)?;
    // Asking for a password first and refusing the name after is a nuisance.
    if store.account_exists(&args.name)? == is_new {
        let user = args.name.clone();
        return Err(match is_new {
            true => sip_proxy_store::Error::UserExists { user },
            false => sip_proxy_store::Error::UserUnknown { user },
        }
        .into());
    }
    let password = read_password(args)?;
    if is_new {
        store.add_account(&args.name, loaded.realm(), &password)?;
    } else {
        store.change_password(&args.name, loaded.realm(), &password)?;
    }
    let what = if is_new { "added" } else { "changed" };
    report(
        context,
        &args.name,
        what,
        args.generate.then_some(&*password),
    )
}

fn read_password(args: &PasswordArgs) -> Result<String, Failure> {
    if args.generate {
        return password::generate();
    }
    if args.stdin {
        return first_line(io::stdin().lock());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is no terminal to ask for the password on: use --stdin or --generate",
        ));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map_err(|error| Failure::failed(format!("cannot read the password: {error}")))
    };
    let password = ask(&format!("Password for {}: ", args.name))?;
    if password != ask("The same again: ")? {
        return Err(Failure::failed(
            "the two passwords differ; nothing was changed",
        ));
    }
    Ok(password)
}

fn first_line(input: impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    input
        .take(PASSWORD_BYTES_MAX)
        .read_line(&mut line)
        .map_err(|error| Failure::failed(format!("cannot read the password: {error}")))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::usage("standard input holds no password"));
    }
    Ok(password.to_owned())
}

fn report(
    context: &Context,
    name: &str,
    what: &str,
    password: Option<&str>,
) -> Result<(), Failure> {
    if context.json {
        return print_json(&json!({"user": name, "result": what, "password": password}));
    }
    match password {
        Some(password) => {
            remark(&format!("{name}: {what}; the password is shown only now"));
            print(password)
        }
        None => print(&format!("{name}: {what}")),
    }
}

fn list(context: &Context, loaded: &Loaded) -> Result<(), Failure> {
    let accounts = open(loaded)?.accounts()?;
    if context.json {
        return print_json(&accounts.iter().map(to_json).collect());
    }
    let mut grid = Grid::new(&["USER", "REALM", "CREATED (UTC)", "PASSWORD SET (UTC)"]);
    for record in &accounts {
        grid.row([
            record.account.user.clone(),
            record.realm.clone(),
            date_and_time(record.created_unix_ms),
            date_and_time(record.changed_unix_ms),
        ]);
    }
    grid.print("no accounts; `tandem user add NAME` makes one")
}

/// Without the hashes: they are as good as passwords to this realm.
fn to_json(record: &AccountRecord) -> Value {
    json!({
        "user": record.account.user,
        "realm": record.realm,
        "created_unix_ms": record.created_unix_ms,
        "changed_unix_ms": record.changed_unix_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        assert_eq!(first_line(&b"secret\r\nmore"[..]).unwrap(), "secret");
        assert_eq!(first_line(&b" with space "[..]).unwrap(), " with space ");
        assert!(first_line(&b"\n"[..]).is_err());
    }
}
