//! Owns how git is given credentials: by this program as git's credential helper, which reads the password file when git asks,
//! or by the path of an SSH key. Never puts a secret into arguments, environment or messages. See [`give`] and [`answer`].

use std::io::{BufRead as _, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};

use super::GitError;
use crate::config::Git;
use crate::world::secret::{self, Secret};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "__credential";

/// Whom the helper answers, and with what. Only paths and names: git hands its environment to everything it starts.
const HOST: &str = "SEAWALLD_GIT_HOST";
const USERNAME: &str = "SEAWALLD_GIT_USERNAME";
const PASSWORD_FILE: &str = "SEAWALLD_GIT_PASSWORD_FILE";

/// No password or token is longer.
const MAX_PASSWORD_BYTES: usize = 64 << 10;

/// Git's question is a few lines.
const MAX_QUESTION_BYTES: u64 = 64 << 10;

/// Tells git to ask this program, when the configuration has credentials.
pub(super) fn give(git: &Git, command: &mut Command) -> Result<(), GitError> {
    if let Some(ssh) = &git.ssh {
        for file in std::iter::once(&ssh.key).chain(&ssh.known_hosts) {
            std::fs::File::open(file).map_err(|error| unusable(file, &error))?;
        }
    }
    let Some(credentials) = &git.credentials else {
        return Ok(());
    };
    // Git would only say that it was given none.
    password(&credentials.password_file)?;
    let program =
        std::env::current_exe().map_err(|error| unusable(&credentials.password_file, &error))?;
    let helper = format!(
        "credential.helper=!{} {SUBCOMMAND}",
        quoted(&program.display().to_string())
    );
    command
        .args(["-c", &helper])
        .env(HOST, host(&git.url))
        .env(USERNAME, &credentials.username)
        .env(PASSWORD_FILE, &credentials.password_file);
    Ok(())
}

/// How git starts ssh. With a key of our own, nothing of the user's own settings, keys or agent is offered to the server.
pub(super) fn ssh_command(git: &Git) -> String {
    let mut command = "ssh -oBatchMode=yes".to_owned();
    if let Some(ssh) = &git.ssh {
        command.push_str(" -F /dev/null -oIdentitiesOnly=yes -oIdentityAgent=none -i ");
        command.push_str(&quoted(&ssh.key.display().to_string()));
        if let Some(file) = &ssh.known_hosts {
            let option = format!("UserKnownHostsFile={}", file.display());
            command.push_str(" -oStrictHostKeyChecking=yes -o ");
            command.push_str(&quoted(&option));
        }
    }
    command
}

/// Git hands both commands to a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The host and port of a URL, as git names them to a helper.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

fn password(file: &Path) -> Result<Secret, GitError> {
    let password = secret::read_file(file, MAX_PASSWORD_BYTES)
        .map_err(|error| unusable(file, &error))?
        .without_newline();
    let text = password.bytes();
    if text.is_empty() || text.iter().any(|byte| b"\n\r\0".contains(byte)) {
        return Err(unusable(file, &"it is not one line of text"));
    }
    Ok(password)
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> GitError {
    GitError::Credentials {
        path: path.display().to_string(),
        why: format!("cannot be read: {why}"),
    }
}

/// The whole life of the helper: git's question on standard input, the answer on standard output. Any other host than the
/// configured one, a proxy among them, and anything but TLS gets none.
pub fn answer() -> ExitCode {
    let variable = |name| std::env::var(name).unwrap_or_default();
    if std::env::args().nth(2).as_deref() != Some("get") {
        // Nothing is stored, so nothing is erased.
        return ExitCode::SUCCESS;
    }
    let question = std::io::stdin().lock().take(MAX_QUESTION_BYTES);
    let asked: Vec<String> = question.lines().map_while(Result::ok).collect();
    let is_ours = asked.iter().any(|line| line == "protocol=https")
        && asked.contains(&format!("host={}", variable(HOST)));
    if !is_ours {
        return ExitCode::SUCCESS;
    }
    let file = variable(PASSWORD_FILE);
    let password = match password(Path::new(&file)) {
        Ok(password) => password,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(1);
        }
    };
    // Not the library's standard output, which keeps a copy of what was written.
    use std::os::fd::AsFd as _;
    let said = std::io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map(std::fs::File::from)
        .and_then(|mut out| {
            out.write_all(format!("username={}\npassword=", variable(USERNAME)).as_bytes())?;
            out.write_all(password.bytes())?;
            out.write_all(b"\n")
        });
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_answers_for_the_host_alone() {
        assert_eq!(
            host("https://git.example.org:8443/a/b.git"),
            "git.example.org:8443"
        );
        assert_eq!(host("https://git.example.org"), "git.example.org");
    }

    #[test]
    fn a_path_stays_one_word_of_the_shell() {
        assert_eq!(quoted("/srv/o'neil; id"), r"'/srv/o'\''neil; id'");
    }
}
