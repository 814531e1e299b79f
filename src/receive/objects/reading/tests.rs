use super::{
    super::doubles::{Act, Scripted, object},
    *,
};

const LINES: &str = "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n";

fn lines() -> [(&'static str, Vec<u8>); 1] {
    [("lines", LINES.into())]
}

/// What is read until the end, or until reading stopped.
async fn read(store: &Arc<Scripted>) -> (Vec<Frame>, Result<(), Stopped>) {
    let mut reading = Reading::new(store.clone(), object("lines"));
    let mut frames = Vec::new();
    loop {
        match reading.next().await {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, Ok(())),
            Err(stopped) => return (frames, Err(stopped)),
        }
    }
}

fn transient() -> Act {
    Act::Fail(CallError::transient("SlowDown", "slow down").into())
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_is_opened_again_where_it_broke() {
    for broken in 0..LINES.len() {
        for act in [Act::Break(broken), Act::End(broken), Act::Hang(broken)] {
            let script = act.clone();
            let store =
                Scripted::new(lines(), move |nth, _| if nth == 0 { script.clone() } else { Act::Send });
            let (frames, ended) = read(&store).await;
            assert_eq!((frames.len(), ended.is_ok()), (3, true), "{act:?}");
            let again = ("lines".to_owned(), broken as u64, Some("\"one\"".to_owned()));
            assert_eq!(store.opened()[1..], [again], "{act:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn as_long_as_something_arrives_reading_goes_on() {
    let store = Scripted::new(lines(), |_, _| Act::Break(1));
    let (frames, ended) = read(&store).await;
    // After the last byte the checksum of the store did not fit: these bytes are not to be trusted.
    let Err(Stopped::Fetch(ObjectError::Call(error))) = ended else { panic!("{ended:?}") };
    assert!(error.is_transient());
    assert_eq!((frames.len(), store.opened().len()), (3, LINES.len()));
}

#[tokio::test(start_paused = true)]
async fn tries_that_bring_nothing_end() {
    let store = Scripted::new(lines(), |nth, _| if nth == 0 { Act::Break(10) } else { transient() });
    let (frames, ended) = read(&store).await;
    let Err(Stopped::Fetch(ObjectError::Call(error))) = ended else { panic!("{ended:?}") };
    assert_eq!((frames.len(), error.code()), (1, "SlowDown"));
    assert_eq!(store.opened().len(), TRIES_MAX as usize);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_over_is_not_read_on() {
    let changed = Act::Fail(ObjectError::Changed);
    let store = Scripted::new(lines(), move |nth, _| if nth == 0 { Act::Break(9) } else { changed.clone() });
    let (frames, ended) = read(&store).await;
    assert!(matches!(ended, Err(Stopped::Fetch(ObjectError::Changed))), "{ended:?}");
    assert_eq!(frames.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_denial_reading_goes_on_where_it_stopped() {
    let denied = Act::Fail(CallError::misconfigured("AccessDenied", "no").into());
    let store = Scripted::new(lines(), move |nth, _| match nth {
        0 => Act::Break(9),
        1 => denied.clone(),
        _ => Act::Send,
    });
    let mut reading = Reading::new(store.clone(), object("lines"));
    assert!(matches!(reading.next().await, Ok(Some(_))));
    assert!(matches!(reading.next().await, Err(Stopped::Fetch(ObjectError::Call(_)))));
    assert!(matches!(reading.next().await, Ok(Some(_))));
    assert!(matches!(reading.next().await, Ok(Some(_))));
    assert!(matches!(reading.next().await, Ok(None)));
    assert_eq!(store.opened().iter().map(|(_, from, _)| *from).collect::<Vec<_>>(), [0, 9, 9]);
}

#[tokio::test(start_paused = true)]
async fn records_before_the_damage_are_read() {
    for damaged in [&b"{\"a\":1}\n{\"b\":2}\n{\"c\""[..], b"[{\"a\":1},{\"b\":2}"] {
        let store = Scripted::new([("lines", damaged.to_vec())], |_, _| Act::Send);
        let (frames, ended) = read(&store).await;
        assert!(matches!(ended, Err(Stopped::Broken(_))), "{ended:?}");
        assert_eq!(frames.len(), 2);
    }
}
