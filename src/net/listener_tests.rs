use super::*;

#[tokio::test]
async fn a_thousand_newcomers_are_let_in_before_the_server_takes_the_first() {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        let stream = tokio::time::timeout(Duration::from_secs(10), TcpStream::connect(addr)).await;
        streams.push(stream.expect("a connection is dropped when others wait").unwrap());
    }
    for _ in 0..1_000 {
        listener.accept().await.unwrap();
    }
}
