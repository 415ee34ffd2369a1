//! A git repository with a policy tree in `policies/`, and the binary run at its root, as a pipeline meets it.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

use crate::cli::Ran;
use crate::trees;

/// As of when everything is judged.
pub const AT: &str = "2026-11-20T12:00:00Z";

pub struct Repository {
    /// Gone with the repository.
    _folder: TempDir,
    root: PathBuf,
}

impl Repository {
    /// The files of a folder of ours, committed on `main`; written in the order of their names or backwards.
    pub fn of(tree: &str, backwards: bool) -> Self {
        Self::below("", tree, backwards)
    }

    /// The same in a folder of this name, which may lie deep.
    pub fn below(name: &str, tree: &str, backwards: bool) -> Self {
        let repository = Self::files(name, tree, backwards);
        let mut options = git2::RepositoryInitOptions::new();
        options.initial_head("main");
        git2::Repository::init_opts(&repository.root, &options).unwrap();
        repository.commit();
        repository
    }

    /// The same without any git.
    pub fn bare(tree: &str, backwards: bool) -> Self {
        Self::files("", tree, backwards)
    }

    fn files(name: &str, tree: &str, backwards: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(name);
        fs::create_dir_all(&root).unwrap();
        let repository = Self {
            _folder: folder,
            root,
        };
        let mut files = trees::read(tree).files;
        if backwards {
            files.reverse();
        }
        for file in files {
            repository.write(&format!("policies/{}", file.path), &file.text);
        }
        repository
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "`{from}` is not in {name}");
        self.write(name, &text.replacen(from, to, 1));
    }

    /// Commits all that is there and gives back the commit.
    pub fn commit(&self) -> String {
        let repository = git2::Repository::open(&self.root).unwrap();
        let mut index = repository.index().unwrap();
        index.clear().unwrap();
        index
            .add_all(["*"], git2::IndexAddOption::DEFAULT, None)
            .unwrap();
        index.write().unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let who = git2::Signature::new("a", "a@example.org", &git2::Time::new(0, 0)).unwrap();
        let parent = repository
            .head()
            .ok()
            .map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        let commit = repository
            .commit(Some("HEAD"), &who, &who, "c", &tree, &parents)
            .unwrap();
        commit.to_string()
    }

    /// Runs `seawall check policies` with further arguments.
    pub fn check(&self, arguments: &[&str]) -> Ran {
        self.run(
            &[&["check", "policies", "--at", AT], arguments].concat(),
            &[],
        )
    }

    pub fn run(&self, arguments: &[&str], variables: &[(&str, &Path)]) -> Ran {
        let mut command = Command::cargo_bin("seawall").unwrap();
        let command = command.args(arguments).current_dir(&self.root);
        Ran::of(command, "110", variables)
    }
}
