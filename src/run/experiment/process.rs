//! A program as an activity. It runs on the client site beside the first node, where it reaches the nodes as a client
//! does, in a process group of its own: what it starts ends with it when its time is over.

use std::{io, path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use schism_cluster::Cluster;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    time::timeout,
};

use crate::experiment::{Arguments, Process};

/// More of what it prints is read and dropped.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Runs it to its end: status, what it printed, and its errors. One that takes too long is killed.
pub(super) async fn run(cluster: &Cluster, process: &Process, limit: Duration) -> Result<Value, String> {
    let path = process.found().ok_or_else(|| format!("there is no program {:?}", process.path))?;
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let mut command = match &process.arguments {
        Arguments::Words(words) => {
            let mut command = cluster.command_on_site(0, &path).map_err(failed)?;
            command.args(words);
            command
        }
        Arguments::Shell(line) => {
            let mut command = cluster.command_on_site(0, Path::new("/bin/sh")).map_err(failed)?;
            command.arg("-c").arg(format!("{} {line}", path.display()));
            command
        }
    };
    for (index, node) in (0..).zip(cluster.node_names()) {
        command.env(format!("SCHISM_{}", node.to_uppercase()), schism_cluster::node_address(index).to_string());
    }
    end(command, process.timeout.unwrap_or(limit)).await
}

/// Kills the group when it is dropped before the program has ended.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // Not waited for, so the number cannot be another's yet; one that is gone already needs no signal.
            let _ = killpg(id, Signal::SIGKILL);
        }
    }
}

async fn end(mut command: Command, limit: Duration) -> Result<Value, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let child = command.spawn().map_err(|error| error.to_string())?;
    let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let mut group = Group { child, id };
    let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
    let outputs = async { tokio::join!(read(stdout), read(stderr)) };
    let ended = timeout(limit, async {
        let (stdout, stderr) = outputs.await;
        // Only now: what it started and left behind may print to the end, as the toolkit has it.
        let status = group.child.wait().await.map_err(|error| error.to_string())?;
        Ok::<_, String>((status, stdout, stderr))
    });
    let (status, stdout, stderr) =
        ended.await.map_err(|_| "process activity took too long to complete".to_owned())??;
    group.id = None;
    let text = |bytes: io::Result<Vec<u8>>| {
        let bytes = bytes.map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|_| "Failed to decode bytes using encoding 'utf-8'".to_owned())
    };
    // A signal's number below zero, as Python has it.
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| -signal);
    Ok(json!({"status": status.code().or(signal), "stdout": text(stdout)?, "stderr": text(stderr)?}))
}

/// To its end, keeping the beginning. What is cut is cut between letters.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let Some(mut pipe) = pipe else { return Ok(vec![]) };
    let (mut kept, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let length = pipe.read(&mut piece).await?;
        if length == 0 {
            break;
        }
        kept.extend_from_slice(&piece[..length.min(OUTPUT_BYTES_MAX.saturating_sub(kept.len()))]);
    }
    if kept.len() == OUTPUT_BYTES_MAX {
        let whole = kept.iter().rposition(|byte| byte & 0xC0 != 0x80).unwrap_or(0);
        kept.truncate(whole);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn sh(line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        command
    }

    #[tokio::test]
    async fn status_and_outputs_as_the_toolkit_has_them() {
        let long = Duration::from_secs(30);
        let got = end(sh("echo out; echo err >&2; exit 3"), long).await.unwrap();
        assert_eq!(got, json!({"status": 3, "stdout": "out\n", "stderr": "err\n"}));
        assert_eq!(end(sh("kill -9 $$"), long).await.unwrap()["status"], -9);
        assert!(end(sh(r"printf '\377'"), long).await.unwrap_err().contains("decode"));
        let much = end(sh("head -c 3000000 /dev/zero | tr '\\0' x"), long).await.unwrap();
        assert_eq!(much["stdout"].as_str().unwrap().len(), OUTPUT_BYTES_MAX - 1);
        assert!(end(Command::new("/no/such/program"), long).await.is_err());
    }

    /// The shell waits for what it started; both must be gone.
    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let begin = Instant::now();
        let line = format!("sleep 600 & echo $! > {}; wait", file.display());
        let problem = end(sh(&line), Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(problem, "process activity took too long to complete");
        assert!(begin.elapsed() < Duration::from_secs(10));
        let pid = std::fs::read_to_string(&file).unwrap();
        let path = format!("/proc/{}/stat", pid.trim());
        let gone = || std::fs::read_to_string(&path).map_or(true, |stat| stat.contains(") Z "));
        for _ in 0..200 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} is still there");
    }
}
