//! Panics and errors of Rust, by the name that is given.

use anyhow::Context;

fn report() -> anyhow::Result<()> {
    "x".parse::<i32>().context("cannot read row").context("cannot score")?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).unwrap_or_default().as_str() {
        "panic" => panic!("no model\nlooked in /models"),
        "unwrap" => {
            Err::<i32, String>("bad row".into()).unwrap();
        }
        "thread" => {
            let rows: Vec<i32> = vec![];
            let _ = std::thread::spawn(move || rows[3]).join();
            eprintln!("INFO after");
        }
        "report" => report()?,
        _ => {}
    }
    Ok(())
}
