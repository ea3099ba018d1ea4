//! The author's guide: every command in it, in its order, in an empty folder.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;

use taskhost_e2e::places;

/// What stands between ```` ```sh ```` and ```` ``` ````.
fn commands(guide: &str) -> String {
    let mut script = String::from("set -eux\n");
    let mut is_inside = false;
    for line in guide.lines() {
        match line {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            line if is_inside => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

#[test]
fn every_command_of_the_guide_does_what_it_says() {
    let guide = std::fs::read_to_string(places::top().join("guest-sdk/README.md")).unwrap();
    let script = commands(&guide);
    assert!(script.lines().count() > 12, "{script}");
    let folder = tempfile::tempdir_in(places::scratch()).unwrap();
    let path = folder.path().join("bin");
    std::fs::create_dir(&path).unwrap();
    symlink(places::binary(), path.join("taskhost")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let paths = format!("{}:{}", path.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .arg("-c")
        // What it leaves in the background ends with it. It builds as nobody else here does: the
        // guests of other tests, which are at nice 10, shall have their time.
        .arg(format!(
            "trap 'kill $(jobs -p)' EXIT\n\
             cargo() {{ nice -n 15 \"$(type -P cargo)\" \"$@\"; }}\n{script}"
        ))
        .current_dir(folder.path())
        .env("PATH", paths)
        .env("TASKHOST_LISTEN", address.to_string())
        .env("TASKHOST_URL", format!("http://{address}"))
        .env("XDG_CACHE_HOME", places::scratch().join("cache"))
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO_TARGET_DIR")
        .process_group(0)
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    for said in [
        "completed, with the result of result.json",
        "canceled, as it should be",
        "it_goes_on_after_its_host_was_killed ... ok",
        "children/TYPE.json",
        "Hello, you!",
    ] {
        assert!(out.contains(said), "{said}: {out}\n{err}");
    }
}
