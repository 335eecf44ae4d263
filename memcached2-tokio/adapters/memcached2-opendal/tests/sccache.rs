//! A program such as sccache, which stores what compilers have made: it knows an `Operator` and no more, so that it runs with another
//! builder as it is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]

mod common;

use std::time::Duration;

use common::{Kind, Started, bytes};
use memcached2_opendal::Memcached2;
use memcached2_testkit::Memcached;
use opendal::services::Memcached as Reference;
use opendal::{ErrorKind, Operator};

const OBJECTS: usize = 200;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many compilations run at the same time.
const JOBS: usize = 20;

/// Checks the storage, compiles everything, and compiles everything again; returns how many objects were hits the second time.
async fn program(storage: Operator) -> usize {
    let check = ".check";
    assert!(matches!(storage.read(check).await, Err(error) if error.kind() == ErrorKind::NotFound));
    storage.write(check, "Hello, World!").await.unwrap();
    assert_eq!(storage.read(check).await.unwrap().to_vec(), b"Hello, World!");
    assert_eq!(build(&storage).await, 0);
    build(&storage).await
}

async fn build(storage: &Operator) -> usize {
    let mut hits = 0;
    for jobs in (0..OBJECTS).collect::<Vec<_>>().chunks(JOBS) {
        let running: Vec<_> = jobs.iter().map(|&number| tokio::spawn(compile(storage.clone(), number))).collect();
        for job in running {
            hits += usize::from(job.await.unwrap());
        }
    }
    hits
}

/// Returns whether the object was found.
async fn compile(storage: Operator, number: usize) -> bool {
    let hash = format!("{:016x}", (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let path = format!("{}/{}/{}/{hash}", &hash[..1], &hash[1..2], &hash[2..3]);
    // Up to half a megabyte.
    let object = bytes(1 << (number % 20));
    match storage.read(&path).await {
        Ok(found) => {
            assert_eq!(found.to_vec(), object, "{path}");
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            storage.write(&path, object).await.unwrap();
            false
        }
        Err(error) => panic!("{error}"),
    }
}

on_each_server!(a_program_that_stores_200_objects_finds_all_of_them_again);

async fn a_program_that_stores_200_objects_finds_all_of_them_again(server: Started) {
    let builder =
        Memcached2::default().endpoint(&format!("tcp://{}", server.address())).root("/builds").default_ttl(DAY);
    assert_eq!(program(Operator::new(builder).unwrap()).await, OBJECTS);
}

/// So the program is one that runs with either, and what one has stored, the other finds.
#[tokio::test]
async fn the_same_program_runs_with_the_service_of_opendal_and_shares_its_files() {
    if !Memcached::installed() {
        eprintln!("skipped: memcached is not installed");
        return;
    }
    let server = Memcached::start();
    let address = format!("tcp://{}", server.address());
    let builder = Reference::default().endpoint(&address).root("/builds").default_ttl(DAY);
    let reference = Operator::new(builder).unwrap();
    assert_eq!(program(reference.clone()).await, OBJECTS);

    let builder = Memcached2::default().endpoint(&address).root("/builds").default_ttl(DAY);
    let operator = Operator::new(builder).unwrap();
    assert_eq!(build(&operator).await, OBJECTS, "it finds what the other has stored");
    operator.write("größe 1.o", "content").await.unwrap();
    assert_eq!(reference.read("größe 1.o").await.unwrap().to_vec(), b"content");
}
