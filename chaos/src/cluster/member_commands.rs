//! `stampede member …`: who is a member is changed as operators change it, by the commands of the system's own program.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::Context;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use super::NotThere;
use super::config::{Member, loopback};
use crate::limits;
use crate::undo::{Identity, Journal, Undo};

pub struct MemberCommands {
    program: PathBuf,
    /// Operators' addresses of all nodes: the program finds the leader among them.
    admins: String,
    cluster_name: String,
    /// The run's folder, in which they work: by that they are known to be of the run.
    folder: PathBuf,
    journal: Journal,
}

/// What `member add` prints.
#[derive(Deserialize)]
struct Added {
    token: String,
}

impl MemberCommands {
    pub(super) fn new(program: &Path, members: &[Member], cluster_name: &str, folder: &Path, journal: Journal) -> Self {
        let admins: Vec<String> = members.iter().map(|member| loopback(member.ports.admin)).collect();
        let (program, cluster_name, folder) = (program.to_owned(), cluster_name.to_owned(), folder.to_owned());
        Self { program, admins: admins.join(","), cluster_name, folder, journal }
    }

    /// `member add`: a token, by which one node may join.
    ///
    /// # Errors
    /// [`NotThere`]: the command failed. Another: it could not be given.
    pub async fn add(&self) -> anyhow::Result<String> {
        let printed = self.give(&["add"]).await?;
        let added: Added = serde_json::from_slice(&printed).context("what `stampede member add` printed")?;
        Ok(added.token)
    }

    /// `member replace OLD --with NEW`: when it returns, the one has a vote, and the other is no member.
    ///
    /// # Errors
    /// As of [`Self::add`].
    pub async fn replace(&self, old: u64, new: u64) -> anyhow::Result<()> {
        let (old, new, wait) = (old.to_string(), new.to_string(), format!("{}s", limits::CAUGHT_UP_WITHIN.as_secs()));
        self.give(&["replace", &old, "--with", &new, "--wait", &wait, "--confirm", &self.cluster_name]).await.map(drop)
    }

    /// What it printed.
    async fn give(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let told = format!("stampede member {}", arguments.join(" "));
        let child = Command::new(&self.program)
            .arg("member")
            .args(arguments)
            .args(["--output", "json", "--admin", self.admins.as_str()])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Out of reach of the Ctrl-C that ends the tool.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("giving `{told}`"))?;
        let pid = child.id().context("a process that nobody waited for has its number")?;
        let undo = Undo::Kill(Identity::of(pid).with_context(|| format!("looking at `{told}`"))?);
        self.journal.will(&undo).context("writing the undo journal")?;
        let ended = timeout(limits::MEMBER_COMMAND_DEADLINE, child.wait_with_output()).await;
        let late = |_| NotThere(format!("`{told}` did not end within {} s", limits::MEMBER_COMMAND_DEADLINE.as_secs()));
        let Output { status, stdout, stderr } = ended.map_err(late)?.with_context(|| format!("waiting for `{told}`"))?;
        self.journal.done(&undo).context("writing the undo journal")?;
        if status.success() {
            return Ok(stdout);
        }
        Err(NotThere(format!("`{told}` ended with {status}: {}", String::from_utf8_lossy(&stderr).trim())).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::left;

    /// Of a program that does this, whatever it is told: a shell takes `member` for a script of the folder in which it works.
    fn commands(script: &str) -> (tempfile::TempDir, MemberCommands) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("member"), script).unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        let commands = MemberCommands::new(Path::new("/bin/sh"), &[], "drill", folder.path(), journal);
        (folder, commands)
    }

    #[tokio::test]
    async fn a_command_is_given_as_an_operator_types_it_in_the_folder_of_the_run() {
        let (folder, commands) = commands(r#"echo "$*" > told; echo '{"token": "stampede1-07", "expires_at_ms": 1}'"#);
        assert_eq!(commands.add().await.unwrap(), "stampede1-07");
        let told = || std::fs::read_to_string(folder.path().join("told")).unwrap();
        assert!(told().starts_with("add --output json"), "{}", told());
        commands.replace(3, 4).await.unwrap();
        assert!(told().starts_with("replace 3 --with 4 --wait") && told().contains("--confirm drill"), "{}", told());
        assert!(left(folder.path()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_the_cluster_refuses_is_the_systems_word_and_a_program_that_is_not_there_is_the_tools() {
        let (_folder, refused) = commands("echo 'error: QUORUM_AT_RISK' >&2; exit 5");
        let error = refused.replace(3, 4).await.unwrap_err();
        assert!(error.is::<NotThere>() && error.to_string().contains("exit status: 5: error: QUORUM_AT_RISK"), "{error}");
        let (_folder, mut gone) = commands("");
        gone.program = "/nobody".into();
        assert!(!gone.add().await.unwrap_err().is::<NotThere>());
    }
}
