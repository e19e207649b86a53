//! File systems of a test's own: ext4 on a loop device, and tmpfs. They are unmounted when dropped.

use crate::figure::progress;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How often an unmount is tried: a process that was just killed may hold the file system for a moment.
const UNMOUNT_TRIES: u32 = 200;

/// Shuts an ext4 down, like a power cut, by the ioctl EXT4_IOC_SHUTDOWN. There is no safe call for it in Rust.
const SHUTDOWN: &str = "import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, 0x8004587D, struct.pack('I', int(sys.argv[2])))";

/// How the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All that was not flushed is gone (`EXT4_GOING_FLAGS_NOLOGFLUSH`).
    Plain,
    /// The file system's own journal is written first: names and sizes are there, contents are not
    /// (`EXT4_GOING_FLAGS_LOGFLUSH`).
    AfterMetadata,
}

/// Fails, naming what is missing, unless this process is root and the programs are there.
pub(crate) fn require(programs: &[&str]) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root (file systems are mounted)".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), "/sbin".into()]).collect();
    for program in programs {
        if !folders.iter().any(|folder| folder.join(program).exists()) {
            missing.push(format!("the program {program}"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("this machine cannot run this test; missing: {}", missing.join(", "))
}

/// A file system that is mounted, or was.
#[derive(Debug)]
pub(crate) struct Mount {
    point: PathBuf,
    /// What comes before the mount point on mount's command line.
    arguments: Vec<String>,
    is_mounted: bool,
}

impl Mount {
    /// Makes an ext4 in a file in `folder` and mounts it.
    pub(crate) fn ext4(folder: &Path, name: &str, mebibytes: u64) -> anyhow::Result<Mount> {
        let image = folder.join(format!("{name}.img"));
        let file = std::fs::File::create(&image).context("cannot make the image")?;
        file.set_len(mebibytes << 20).context("cannot make the image")?;
        // As on a large disk: a small one would get blocks of 1024 bytes. With those, a process whose SQLite touches
        // its `-shm` file on a full disk dies of SIGBUS, since SQLite reserves room by pages of 4096 bytes.
        call("mkfs.ext4", &["-q", "-F", "-b", "4096", &image.to_string_lossy()])?;
        let arguments = ["-o", "loop", &image.to_string_lossy()].map(str::to_owned).into();
        Mount::at(folder.join(name), arguments)
            .context("cannot mount an ext4 on a loop device: this machine or container does not allow it")
    }

    /// Mounts a tmpfs.
    pub(crate) fn tmpfs(folder: &Path, name: &str, mebibytes: u64) -> anyhow::Result<Mount> {
        let size = format!("size={mebibytes}m");
        let arguments = ["-t", "tmpfs", "-o", &size, "tmpfs"].map(str::to_owned).into();
        Mount::at(folder.join(name), arguments).context("cannot mount a tmpfs")
    }

    fn at(point: PathBuf, arguments: Vec<String>) -> anyhow::Result<Mount> {
        std::fs::create_dir(&point).with_context(|| format!("cannot make {}", point.display()))?;
        let mut mount = Mount { point, arguments, is_mounted: false };
        mount.mount()?;
        Ok(mount)
    }

    /// Where it is mounted.
    pub(crate) fn point(&self) -> &Path {
        &self.point
    }

    /// Mounts it again.
    pub(crate) fn mount(&mut self) -> anyhow::Result<()> {
        let point = self.point.to_string_lossy().into_owned();
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        arguments.push(&point);
        call("mount", &arguments)?;
        self.is_mounted = true;
        Ok(())
    }

    /// Unmounts it. Processes that use it have to be gone, or about to go.
    pub(crate) fn unmount(&mut self) -> anyhow::Result<()> {
        let point = self.point.to_string_lossy().into_owned();
        let mut tries = 0;
        while let Err(error) = call("umount", &[&point]) {
            tries += 1;
            if tries == UNMOUNT_TRIES {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        self.is_mounted = false;
        Ok(())
    }

    /// Cuts the power: nothing more reaches the device.
    pub(crate) fn cut_power(&self, cut: Cut) -> anyhow::Result<()> {
        let flags = match cut {
            Cut::Plain => "2",
            Cut::AfterMetadata => "1",
        };
        call("python3", &["-c", SHUTDOWN, &self.point.to_string_lossy(), flags])
    }

    /// Writes all that is in memory to the device.
    pub(crate) fn sync(&self) -> anyhow::Result<()> {
        call("sync", &["-f", &self.point.to_string_lossy()])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = self.unmount()
        {
            progress(format_args!("{error:#}; it is left to the kernel to unmount it"));
            // It goes when its last user does.
            if let Err(error) = call("umount", &["-l", &self.point.to_string_lossy()]) {
                progress(format_args!("{error:#}"));
            }
        }
    }
}

fn call(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "{program} {arguments:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )
}
