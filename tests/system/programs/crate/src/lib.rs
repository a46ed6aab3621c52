pub fn sum(values: &[u32]) -> u32 {
    values.iter().sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn adds_up() {
        assert_eq!(super::sum(&[1, 2, 3]), 6);
    }

    #[test]
    fn threads_add_up() {
        let all: Vec<_> = (0..8).map(|n| std::thread::spawn(move || super::sum(&[n, n]))).collect();
        assert_eq!(all.into_iter().map(|t| t.join().unwrap()).sum::<u32>(), 56);
    }
}
