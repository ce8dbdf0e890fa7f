//! Cuts the power. The data lies on ext4 on a loop device; the server is stopped dead in the middle of its work, the
//! file behind the device is copied, and the copy is the disk after the cut: what only the page cache or an uncommitted
//! journal knew is not in it. The server then goes on from the copy, under the same clients, to the next cut.
//!
//! The server stands still while the copy is made: a copy of a disk that moves is a state that no disk ever had.

use std::{
    cell::Cell,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    FOUND, Found, Shared, conclude,
    load::{Load, Plan},
    server::{Server, Site},
};
use crate::{
    Result,
    step::{self, command, run},
};

/// The size of the disk; the file is sparse.
const DISK_BYTES: u64 = 8 << 30;

/// Arguments of `torture powercut`.
#[derive(Args, Clone)]
pub struct Powercut {
    /// How often the power is cut.
    #[arg(long, default_value_t = 10)]
    cuts: u64,
    /// How many users send at once.
    #[arg(long, default_value_t = 24)]
    users: u32,
    /// Messages a second, of all users together, while the server is up.
    #[arg(long, default_value_t = 8_000)]
    rate: u32,
    /// This process has its own mounts already.
    #[arg(long, hide = true)]
    inside: bool,
    #[command(flatten)]
    shared: Shared,
}

/// Two files take turns in being the disk.
struct Disks {
    work: PathBuf,
    mounted: Cell<u8>,
}

impl Powercut {
    /// So many cuts, the rest by default.
    pub fn cuts(cuts: u64) -> Self {
        Self { cuts, users: 24, rate: 8_000, inside: false, shared: Shared::default() }
    }

    /// The same with a fault planted.
    pub fn with(mut self, shared: Shared) -> Self {
        self.shared = shared;
        self
    }

    /// Runs the suite, in a process whose mounts nobody else sees.
    pub fn run(self) -> Result {
        if self.inside {
            return self.run_inside();
        }
        if !step::is_root() {
            return Err("power cuts need root, for loop devices and mounts".into());
        }
        for (program, package) in [("mkfs.ext4", "e2fsprogs"), ("losetup", "mount"), ("unshare", "util-linux")] {
            step::require(program, package)?;
        }
        let mut unshare = command("unshare", &["--mount", "--propagation", "private"]);
        unshare.arg(env::current_exe()?).args(["torture", "powercut", "--inside"]);
        unshare.args(["--cuts", &self.cuts.to_string(), "--users", &self.users.to_string()]);
        unshare.args(["--rate", &self.rate.to_string()]);
        for (flag, value) in [
            ("--seed", self.shared.seed.map(|seed| seed.to_string())),
            ("--plant", self.shared.plant.map(|plant| plant.name().to_owned())),
            ("--work", self.shared.work.map(|work| work.display().to_string())),
        ] {
            unshare.args(value.iter().flat_map(|value| [flag, value]));
        }
        match unshare.status()?.code() {
            Some(0) => Ok(()),
            Some(code) if code == i32::from(FOUND) => Err(Found("powercut: it found what is above".to_owned()).into()),
            _ => Err("powercut could not run".into()),
        }
    }

    fn run_inside(self) -> Result {
        let plan = Plan { users: self.users, rate: self.rate, groups: 2, seed: self.shared.seed() };
        let work = self.shared.work("powercut")?;
        let program = self.shared.build("postrider", "postrider")?;
        let disks = Disks::make(&work)?;
        let site = Site::new(program, &work.join("run"), work.join("mnt/data"), self.shared.environment())?;
        let result = self.cut(&site, &plan, &disks);
        let _ = disks.unmount();
        let found = result?;
        conclude("powercut", &work, &found)
    }

    fn cut(&self, site: &Site, plan: &Plan, disks: &Disks) -> Result<Vec<String>> {
        let mut load = Load::start(site, plan)?;
        for _ in 0..self.cuts {
            load.cycle(|server| disks.copy_under(server), || disks.change())?;
        }
        let acknowledged = load.acknowledged();
        let mut found = load.finish("powercut")?;
        if acknowledged < self.cuts * if self.cuts < 100 { 100 } else { 1_000 } {
            found.push(format!("only {acknowledged} acknowledged over {} cuts: the run is void", self.cuts));
        }
        Ok(found)
    }
}

impl Disks {
    /// Makes the first disk and mounts it.
    fn make(work: &Path) -> Result<Self> {
        let disks = Self { work: work.to_owned(), mounted: Cell::new(0) };
        fs::create_dir_all(work.join("mnt"))?;
        File::create(disks.file(0))?.set_len(DISK_BYTES)?;
        // A journal of the usual age: committed every 5 s by itself, otherwise by whoever syncs.
        run(command("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", "nodiscard"]).arg(disks.file(0)))?;
        disks.mount()?;
        Ok(disks)
    }

    fn file(&self, which: u8) -> PathBuf {
        self.work.join(format!("disk-{which}"))
    }

    fn mount(&self) -> Result {
        run(command("mount", &["-o", "loop"]).arg(self.file(self.mounted.get())).arg(self.work.join("mnt")))
    }

    fn unmount(&self) -> Result {
        run(command("umount", &[]).arg(self.work.join("mnt")))
    }

    /// The cut: the server stands still, the disk is copied as it is, the server dies.
    fn copy_under(&self, server: Server) -> Result {
        server.signal("STOP")?;
        let (from, to) = (self.file(self.mounted.get()), self.file(1 - self.mounted.get()));
        let _ = fs::remove_file(&to);
        run(command("cp", &["--sparse=always", "--reflink=never"]).arg(from).arg(to))?;
        server.kill()
    }

    /// Mounts the copy in the place of what it is a copy of; its journal is recovered.
    fn change(&self) -> Result {
        self.unmount()?;
        self.mounted.set(1 - self.mounted.get());
        self.mount()
    }
}
