//! Takes `SECURITY DEFINER` from functions that the worker of a restore owns: whoever calls such a function acts as its
//! owner, and the worker is nobody's owner by choice.
//!
//! The interesting function is [`functions`].

use super::client::attempt;
use super::crew::{Crew, Owners};
use super::load::Failing;
use crate::world::connector::Bounds;

/// Counts them, seals them, and counts again.
const STATEMENTS: &str = r"
SELECT pg_catalog.count(*) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles o ON o.oid = p.proowner
  WHERE p.prosecdef AND o.rolname = session_user;
SELECT pg_catalog.format('ALTER ROUTINE %s SECURITY INVOKER', p.oid::pg_catalog.regprocedure)
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles o ON o.oid = p.proowner
  WHERE p.prosecdef AND o.rolname = session_user ORDER BY p.oid \gexec
SELECT pg_catalog.count(*) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles o ON o.oid = p.proowner
  WHERE p.prosecdef AND o.rolname = session_user;
";

/// Makes each such function run with the rights of its caller. Returns a note when there was one.
///
/// The worker owns a function when the dump's owner was left out, or when code of the dump made it during the restore. A
/// worker that is the dump's owner itself owns its functions by choice, and they stay as they are.
pub(super) fn functions(
    crew: &Crew<'_>,
    target: &str,
    bounds: &Bounds,
) -> Result<Option<String>, Failing> {
    let worker = &crew.worker.role;
    if crew.lacks_owner.is_none()
        && crew.owners == Owners::AsDumped
        && crew.owner.as_ref() == Some(worker)
    {
        return Ok(None);
    }
    let failed = |why: String| Failing {
        object: format!("functions with SECURITY DEFINER of `{worker}`"),
        why,
    };
    let ended = attempt(&crew.worker, target, STATEMENTS, bounds)
        .map_err(|error| failed(error.to_string()))?;
    let mut counts = ended.stdout.lines();
    match (ended.is_clean(), counts.next(), counts.next()) {
        (true, Some("0"), Some("0")) => Ok(None),
        (true, Some(found), Some("0")) => Ok(Some(format!(
            "{found} functions with SECURITY DEFINER belong to `{worker}` and run as their caller now"
        ))),
        (_, _, _) => Err(failed(ended.reason())),
    }
}
