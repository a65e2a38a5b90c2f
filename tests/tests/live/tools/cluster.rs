//! The cluster: three masters that share the slots, with redirects between them.

use tenure_tests::live::{Cluster, Options, servers_available};

#[tokio::test]
async fn a_cluster_serves_each_key_at_its_owner_and_redirects_from_the_others() {
    if !servers_available() {
        return;
    }
    let cluster = Cluster::start(Options::new()).await;
    let mut owners = Vec::new();
    // Slots 12182, 5061 and 866: one in each third.
    for key in ["foo", "bar", "hello"] {
        let owner = cluster.owner(key).await;
        cluster.node(owner).cmd::<()>(&["SET", key, "1"]).await;
        let other = cluster.node((owner + 1) % 3);
        let refused = other
            .try_cmd::<()>(&["SET", key, "2"])
            .await
            .expect_err("not its slot");
        assert_eq!(refused.code(), Some("MOVED"), "{refused}");
        let owner_addr = cluster.node(owner).addr().to_string();
        assert!(refused.to_string().contains(&owner_addr), "{refused}");
        owners.push(owner);
    }
    owners.sort_unstable();
    assert_eq!(
        owners,
        [0, 0, 2],
        "12182 lies in the last third, 5061 and 866 in the first"
    );
}
