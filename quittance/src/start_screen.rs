//! What `up` says when it is ready: where everything is, and commands to try that work when pasted.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

/// The text of the start screen.
pub struct StartScreen<'a> {
    /// Where commands go.
    pub command: SocketAddr,
    /// Where queries go.
    pub query: SocketAddr,
    /// The file with the API keys.
    pub credentials: &'a Path,
    /// How long the start took, in milliseconds.
    pub millis: u128,
}

impl fmt::Display for StartScreen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, query, credentials, millis } = self;
        let credentials = shell_quoted(credentials);
        write!(
            f,
            r##"
Quittance is up ({millis} ms).

  commands   http://{command}      docs at /docs, contract at /openapi.json
  queries    http://{query}      docs at /docs, contract at /openapi.json
  API keys   {credentials}

Try it: paste this into another terminal.

  C=http://{command}; Q=http://{query}
  key() {{ sed -n 's/.*"'$1'": *"\([^"]*\)".*/\1/p' {credentials}; }}
  post() {{ curl -sS "$C$2" -H "Authorization: Bearer $1" -H "Idempotency-Key: $RANDOM$RANDOM$RANDOM" -H "Content-Type: application/json" -d "$3"; }}
  pick() {{ sed -n 's/.*"'$1'":"\{{0,1\}}\([^",}}]*\).*/\1/p'; }}
  O=$(key operator)
  M=$(post $O /v1/merchants '{{"name":"Corner Shop","fee":{{"percent":"1.40","fixed":[{{"amount":25,"currency":"EUR"}}]}}}}' | pick id)
  K=$(post $O /v1/api-keys '{{"role":"merchant","merchant_id":"'$M'"}}' | pick secret)
  A=$(post $O /v1/clients '{{"name":"Ada Lovelace"}}' | pick id)
  post $O /v1/clients/$A/deposits '{{"amount":{{"amount":50000,"currency":"EUR"}}}}'; echo
  CARD=$(post $O /v1/clients/$A/cards '{{}}'); echo "$CARD"
  f() {{ echo "$CARD" | pick $1; }}
  PAY=$(post $K /v1/payments '{{"amount":{{"amount":10000,"currency":"EUR"}},"card":{{"number":"'$(f number)'","exp_month":'$(f exp_month)',"exp_year":'$(f exp_year)',"cvc":"'$(f cvc)'"}}}}'); echo "$PAY"
  curl -sS $Q/v1/clients/$A/balances -H "Authorization: Bearer $O"; echo
  curl -sS $Q/v1/merchants/$M/balances -H "Authorization: Bearer $K"; echo
  curl -sS $Q/v1/house/balances -H "Authorization: Bearer $O"; echo

Ctrl-C stops everything and loses nothing.
"##
        )
    }
}

/// Quotes a path for a shell, if it needs it.
fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
