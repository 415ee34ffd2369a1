//! Owns the search for cycles in "needs" graphs, without recursion and in linear time. The function is [`cycles`].

/// Most cycles that are told: a graph can have as many as it has edges, each as long as it has nodes.
const MAX_CYCLES: usize = 100;

/// Cycles of a graph given as edges by node: at least one whenever there is any, each found once, smallest node first, no more
/// than anybody mends at once.
pub fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let mut marks = vec![Mark::New; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if marks.get(start) != Some(&Mark::New) {
            continue;
        }
        // The path, each node with the number of its edges that were followed.
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        set(&mut marks, start, Mark::OnPath);
        while let Some((node, followed)) = path.last_mut().filter(|_| found.len() < MAX_CYCLES) {
            let next = edges
                .get(*node)
                .and_then(|targets| targets.get(*followed))
                .copied();
            *followed += 1;
            match next.map(|next| (next, marks.get(next).copied().unwrap_or(Mark::Done))) {
                Some((next, Mark::New)) => {
                    set(&mut marks, next, Mark::OnPath);
                    path.push((next, 0));
                }
                Some((next, Mark::OnPath)) => {
                    let from = path.iter().position(|(node, _)| *node == next).unwrap_or(0);
                    let mut cycle: Vec<usize> =
                        path.iter().skip(from).map(|(node, _)| *node).collect();
                    let smallest = cycle
                        .iter()
                        .enumerate()
                        .min_by_key(|(_, node)| **node)
                        .map_or(0, |(at, _)| at);
                    cycle.rotate_left(smallest);
                    found.push(cycle);
                }
                Some((_, Mark::Done)) => {}
                None => {
                    set(&mut marks, *node, Mark::Done);
                    path.pop();
                }
            }
        }
    }
    found.sort();
    found.dedup();
    return found;

    fn set(marks: &mut [Mark], node: usize, mark: Mark) {
        if let Some(place) = marks.get_mut(node) {
            *place = mark;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_cycles_and_nothing_else() {
        assert!(cycles(&[vec![1, 2], vec![2], vec![]]).is_empty());
        assert_eq!(cycles(&[vec![1], vec![2], vec![0]]), [vec![0, 1, 2]]);
        assert_eq!(cycles(&[vec![], vec![1]]), [vec![1]]);
        assert_eq!(cycles(&[vec![1], vec![0, 2], vec![3], vec![2]]).len(), 2);
    }
}
