"""The shapes of secrets: one row for each, with the letters that every match holds, the pattern and its source.

Every pattern has a greatest length, and neither a letter nor a digit stands before or behind it. So the middle of a
base64 text, a hash, a path or a product code does not match.
"""

from __future__ import annotations

import re
from typing import NamedTuple

CONTEXT_CHARS = 64
"""Characters before a name that are read to find out whether the name begins a line."""
MAX_SECRET_CHARS = 8_192
"""Characters of the longest secret, except for blocks of lines: HTTP servers accept no longer header."""

AT_START = (
    r"(?:(?<![A-Za-z0-9])"
    r"|(?<=\\[abfnrtv])|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\x[0-9A-Fa-f]{2})|(?<=%[0-9A-Fa-f]{2})"
    r"|(?<=\[[0-9]m)|(?<=[\[;][0-9]{2}m)|(?<=;[0-9]m))"
)
"""Matches where no letter or digit stands before, unless it ends an escape: of JSON, of a URL, or of a terminal's
colour."""
AT_END = r"(?![A-Za-z0-9_-])"
"""Matches where no letter, digit or mark of base64url follows: a word in the middle of base64url text has such a mark
after it."""


class Shape(NamedTuple):
    """A kind of secret that is recognised by its form alone, wherever it stands."""

    name: str
    holds: tuple[str, ...]
    """Letters of which every match holds one, `offsets` characters after its beginning. Each has three letters or
    more."""
    pattern: str
    source: str
    """The source that documents the shape."""
    offsets: tuple[int, ...] = (0,)
    behind: str = ""
    """The pattern of the text after `holds`, if `holds` is a mark that occurs in every text."""
    sample: str = ""
    """The pattern that examples are made from, if `pattern` also matches secrets that are never issued."""


_B64URL = r"[A-Za-z0-9_-]"
_JWT_PART = rf"{_B64URL}{{0,7900}}"


def _build_prefixed(name: str, holds: str, body: str, source: str, sample: str = "") -> Shape:
    """Returns a shape that begins with one of a few words and goes on with `body`."""
    words = tuple(holds.split())
    return Shape(name, words, f"(?:{'|'.join(map(re.escape, words))}){body}", source, sample=sample)


SHAPES: tuple[Shape, ...] = (
    # Seawall
    _build_prefixed("Seawall key", "sk-seawall-", rf"{_B64URL}{{43}}", "docs/how-to/let-a-person-decide.md"),
    _build_prefixed(
        "Seawall link",
        "swl_",
        rf"{_B64URL}{{40,4000}}\.[0-9a-f]{{64}}",
        "docs/how-to/let-a-person-decide.md",
        sample=r"swl_[A-Za-z0-9_-]{100}\.[0-9a-f]{64}",
    ),
    # Models
    _build_prefixed(
        "OpenAI, Anthropic and kin, by project",
        "sk-proj- sk-svcacct- sk-admin- sk-ant- sk-or- sk-lf- sk-None- sk-litellm-",
        rf"{_B64URL}{{16,300}}",
        "platform.openai.com/docs, docs.anthropic.com",
    ),
    Shape(
        "OpenAI, DeepSeek and kin",
        ("sk-",),
        r"sk-(?=[A-Za-z_-]{0,99}[0-9])(?=[0-9_-]{0,99}[A-Za-z])(?=(?:[A-Za-z0-9]{0,15}[_-]){0,6}[A-Za-z0-9]{16})"
        rf"(?![a-z0-9]{{1,30}}(?:[_-][a-z0-9]{{1,30}}){{2,20}}(?![A-Za-z0-9_-])){_B64URL}{{16,200}}",
        "platform.openai.com/docs, api-docs.deepseek.com",
        sample=r"sk-(?:[a-f0-9]{32}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})",
    ),
    _build_prefixed(
        "Hugging Face", "hf_ api_org_", "[A-Za-z0-9]{30,40}", "huggingface.co/docs/hub/security-tokens"
    ),
    _build_prefixed("Groq", "gsk_", "[A-Za-z0-9]{32,64}", "console.groq.com/docs"),
    _build_prefixed("xAI", "xai-", "[A-Za-z0-9_]{40,120}", "docs.x.ai"),
    _build_prefixed("ElevenLabs", "sk_", "[a-f0-9]{48}", "elevenlabs.io/docs"),
    _build_prefixed("Jina", "jina_", rf"{_B64URL}{{60}}", "jina.ai"),
    _build_prefixed("Pinecone", "pcsk_", "[A-Za-z0-9]{5,8}_[A-Za-z0-9]{50,70}", "docs.pinecone.io"),
    _build_prefixed(
        "E2B, Together, Apify", "e2b_ tgp_v1_ apify_api_", rf"{_B64URL}{{36,48}}", "e2b.dev/docs"
    ),
    _build_prefixed("Replicate", "r8_", "[A-Za-z0-9]{36,40}", "replicate.com/docs"),
    _build_prefixed("Perplexity", "pplx-", "[A-Za-z0-9]{32,64}", "docs.perplexity.ai"),
    _build_prefixed(
        "Fireworks, Cerebras, NVIDIA", "fw_ csk- nvapi-", rf"{_B64URL}{{22,90}}", "build.nvidia.com"
    ),
    _build_prefixed(
        "LangSmith", "lsv2_pt_ lsv2_sk_", "[a-f0-9]{32}(?:_[a-f0-9]{10})?", "docs.smith.langchain.com"
    ),
    _build_prefixed(
        "Tavily, Firecrawl", "tvly- fc-", r"(?:dev-|prod-)?[A-Za-z0-9]{30,40}", "docs.tavily.com"
    ),
    # Clouds
    Shape(
        "AWS access key id",
        ("AKIA", "ASIA"),
        # a word in capitals is not a key: `ASIAPACIFICHOLDINGS`
        r"A[KS]IA(?:(?=[0-9])|(?=[A-Z]{1,15}[0-9]{1,15}[A-Z])|(?=[A-Z0-9]{0,11}?[B-DF-HJ-NP-TV-XZ]{5}))[A-Z0-9]{16}",
        "docs.aws.amazon.com/IAM",
        sample=r"A[KS]IA[A-Z][2-7][A-Z][A-Z2-7]{13}",
    ),
    _build_prefixed(
        "Amazon Bedrock",
        "ABSKQmVkcm9ja0FQSUtleS bedrock-api-key-",
        "[A-Za-z0-9+/]{64,2000}={0,2}",
        "docs.aws.amazon.com/bedrock",
    ),
    _build_prefixed("Google API key", "AIza", rf"{_B64URL}{{30,40}}", "cloud.google.com/docs/authentication"),
    _build_prefixed(
        "Google OAuth client", "GOCSPX-", rf"{_B64URL}{{24,40}}", "developers.google.com/identity"
    ),
    _build_prefixed(
        "Google access token",
        "ya29.",
        r"[A-Za-z0-9_.-]{20,2048}",
        "developers.google.com/identity",
    ),
    Shape(
        "Azure client secret",
        ("Q~",),
        r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?![~.])",
        "learn.microsoft.com/entra",
        offsets=(4,),
    ),
    Shape(
        "Azure, with a checksum",
        ("JQQJ99",),
        r"[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{20,26}",
        "learn.microsoft.com, Microsoft Security Utilities",
        offsets=(52,),
    ),
    _build_prefixed(
        "DigitalOcean", "dop_v1_ doo_v1_ dor_v1_", "[a-f0-9]{64}", "docs.digitalocean.com/reference/api"
    ),
    _build_prefixed(
        "Alibaba Cloud",
        "LTAI",
        "[A-Za-z0-9]{16,24}",
        "alibabacloud.com/help",
        r"LTAI[0-9][A-Za-z]{2}[A-Za-z0-9]{17}",
    ),
    _build_prefixed(
        "Cloudflare origin key", "v1.0-", "[a-f0-9]{24}-[a-f0-9]{146}", "developers.cloudflare.com"
    ),
    _build_prefixed("Fly.io", "fm1a_ fm1r_ fm2_ fo1_", r"[A-Za-z0-9+/_-]{43,1500}={0,3}", "fly.io/docs"),
    _build_prefixed("Heroku", "HRKU-AA", rf"{_B64URL}{{58}}", "devcenter.heroku.com"),
    _build_prefixed("Supabase", "sbp_ sb_secret_", r"[A-Za-z0-9_-]{30,64}", "supabase.com/docs"),
    _build_prefixed(
        "PlanetScale",
        "pscale_tkn_ pscale_pw_ pscale_oauth_",
        r"[A-Za-z0-9_=.-]{32,64}",
        "planetscale.com/docs",
    ),
    _build_prefixed("Neon", "napi_", "[a-z0-9]{40,80}", "neon.tech/docs"),
    _build_prefixed("Vercel", "vcp_ vci_ vca_ vcr_ vck_", "[A-Za-z0-9]{24,64}", "vercel.com/docs"),
    _build_prefixed("Netlify", "nfp_ nfc_ nfo_ nfu_ nfb_", "[A-Za-z0-9]{36,40}", "docs.netlify.com"),
    _build_prefixed(
        "Databricks", "dapi dose dkea", "[a-f0-9]{32}(?:-[0-9])?", "docs.databricks.com/dev-tools/auth"
    ),
    _build_prefixed(
        "HashiCorp Vault", "hvs. hvb. hvr.", rf"{_B64URL}{{24,400}}", "developer.hashicorp.com/vault"
    ),
    Shape(
        "HashiCorp Terraform",
        (".atlasv1.",),
        r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}",
        "developer.hashicorp.com/terraform",
        offsets=(14,),
    ),
    _build_prefixed("Pulumi", "pul-", "[a-f0-9]{40}", "pulumi.com/docs"),
    _build_prefixed("Prefect", "pnu_ pnb_", "[A-Za-z0-9]{36}", "docs.prefect.io"),
    _build_prefixed("Grafana", "glc_", r"[A-Za-z0-9+/]{32,400}={0,3}", "grafana.com/docs"),
    _build_prefixed("Grafana service account", "glsa_", "[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}", "grafana.com/docs"),
    _build_prefixed(
        "New Relic", "NRAK- NRAA- NRII- NRIQ- NRJS-", "[A-Za-z0-9_-]{19,40}", "docs.newrelic.com"
    ),
    _build_prefixed("Sentry user", "sntryu_ sntrya_", "[a-f0-9]{64}", "docs.sentry.io"),
    _build_prefixed(
        "Sentry organisation", "sntrys_", r"eyJ[A-Za-z0-9+/=]{20,400}_[A-Za-z0-9+/]{43}", "docs.sentry.io"
    ),
    Shape(
        "Sentry DSN",
        (".ingest.",),
        r"(?<=://)[a-f0-9]{32}@o[0-9]{1,12}\.ingest\.",
        "docs.sentry.io",
        offsets=tuple(range(35, 47)),
        sample=r"[a-f0-9]{32}@o[0-9]{6}\.ingest\.",
    ),
    _build_prefixed(
        "Dynatrace", "dt0c01. dt0s01. dt0s16.", r"[A-Z0-9]{24}\.[A-Z0-9]{64}", "docs.dynatrace.com"
    ),
    _build_prefixed("Datadog", "ddapi_ ddapp_ ddpat_", "[A-Za-z0-9]{30,64}", "docs.datadoghq.com"),
    # Code and packages
    _build_prefixed(
        "GitHub", "ghp_ gho_ ghu_ ghs_ ghr_", "[A-Za-z0-9_]{30,255}", "docs.github.com/authentication"
    ),
    _build_prefixed(
        "GitHub, fine-grained", "github_pat_", "[A-Za-z0-9_]{30,255}", "docs.github.com/authentication"
    ),
    _build_prefixed(
        "GitLab",
        "glpat- gldt- glrt- glft- glimt- glagent- gloas- glptt- glcbt- glsoat- glffct- glwt-",
        rf"{_B64URL}{{16,300}}(?:\.[0-9a-z]{{9}})?",
        "docs.gitlab.com/security/tokens",
    ),
    _build_prefixed("GitLab runner", "GR1348941", rf"{_B64URL}{{20}}", "docs.gitlab.com/security/tokens"),
    _build_prefixed("npm", "npm_", "[A-Za-z0-9]{36}", "docs of the registry: access tokens"),
    _build_prefixed(
        "Python package index",
        "pypi-",
        rf"{_B64URL}{{50,1000}}",
        "macaroons of the index",
        r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9]{60}",
    ),
    _build_prefixed(
        "NuGet",
        "oy2",
        "(?=[a-z]{0,42}[0-9])[a-z0-9]{43}",
        "learn.microsoft.com/nuget",
        "oy2[0-9][a-z0-9]{42}",
    ),
    _build_prefixed(
        "Artifactory",
        "AKCp cmVmd",
        "(?=[A-Za-z]{0,58}[0-9])[A-Za-z0-9]{59,69}",
        "jfrog.com/help",
        "(?:AKCp[0-9][A-Za-z0-9]{68}|cmVmd[0-9][A-Za-z0-9]{58})",
    ),
    _build_prefixed(
        "Octopus Deploy",
        "API-",
        "(?=[A-Z]{0,25}[0-9])[A-Z0-9]{26}",
        "octopus.com/docs",
        "API-[0-9][A-Z0-9]{25}",
    ),
    _build_prefixed(
        "Harness", "pat. sat.", rf"{_B64URL}{{22}}\.[0-9a-f]{{24}}\.[A-Za-z0-9]{{20}}", "developer.harness.io"
    ),
    _build_prefixed("Dependency-Track", "odt_", "[A-Za-z0-9]{32}", "docs.dependencytrack.org"),
    _build_prefixed("RubyGems", "rubygems_", "[a-f0-9]{48}", "guides.rubygems.org"),
    _build_prefixed("Clojars", "CLOJARS_", "[a-z0-9]{60}", "clojars.org"),
    _build_prefixed("Docker Hub", "dckr_pat_ dckr_oat_", rf"{_B64URL}{{27,40}}", "docs.docker.com/security"),
    _build_prefixed("Sonar", "sqp_ squ_ sqa_", "[a-f0-9]{40}", "docs.sonarsource.com"),
    _build_prefixed(
        "Sourcegraph", "sgp_", r"(?:(?:[a-fA-F0-9]{16}|local)_)?[a-fA-F0-9]{40}", "sourcegraph.com/docs"
    ),
    _build_prefixed(
        "CircleCI, Buildkite",
        "CCIPAT_ CCIPRJ_ bkua_ bkaj_",
        r"[A-Za-z0-9_]{40,80}",
        "circleci.com/docs, buildkite.com/docs",
    ),
    _build_prefixed("Postman", "PMAK-", "[a-f0-9]{24}-[a-f0-9]{34}", "learning.postman.com"),
    _build_prefixed("ReadMe", "rdme_", "[a-z0-9]{70}", "docs.readme.com"),
    _build_prefixed("OpenShift", "sha256~", rf"{_B64URL}{{43}}", "docs.openshift.com"),
    _build_prefixed(
        "Doppler",
        "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.",
        r"(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}",
        "docs.doppler.com",
    ),
    Shape(
        "1Password secret key",
        ("A3-",),
        r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}",
        "support.1password.com",
    ),
    _build_prefixed("1Password", "ops_", r"eyJ[A-Za-z0-9+/]{100,2000}={0,3}", "developer.1password.com"),
    _build_prefixed(
        "age",
        "AGE-SECRET-KEY-1 AGE-SECRET-KEY-PQ-1",
        "[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58,2000}",
        "age-encryption.org",
    ),
    # Talk
    _build_prefixed(
        "Slack",
        "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xoxc- xoxd-",
        r"(?=[A-Za-z-]{0,99}[0-9])[A-Za-z0-9-]{10,400}",
        "api.slack.com/authentication",
        r"xox[abeoprs]-[0-9]{10,12}-[0-9]{10,12}-[A-Za-z0-9]{24}",
    ),
    _build_prefixed(
        "Slack, rotated",
        "xoxe.xoxb- xoxe.xoxp-",
        r"[0-9]-[A-Za-z0-9]{30,400}",
        "api.slack.com/authentication",
    ),
    _build_prefixed(
        "Slack app",
        "xapp-",
        r"[0-9]-[A-Za-z0-9]{6,20}-[0-9]{6,20}-[A-Za-z0-9]{16,100}",
        "api.slack.com/authentication",
    ),
    _build_prefixed(
        "Slack webhook",
        "hooks.slack.com/services/ hooks.slack.com/workflows/ hooks.slack.com/triggers/ hooks.slack-gov.com/services/",
        r"[A-Za-z0-9+/]{30,80}",
        "api.slack.com/messaging/webhooks",
    ),
    Shape(
        "Discord webhook",
        ("/api/webhooks/",),
        rf"/api/webhooks/[0-9]{{15,22}}/{_B64URL}{{50,90}}",
        "discord.com/developers",
    ),
    Shape(
        "Teams webhook",
        (".webhook.office.com/webhookb2/",),
        r"\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/_-]{60,300}",
        "learn.microsoft.com/microsoftteams",
    ),
    Shape(
        "Telegram",
        (":AA",),
        rf"[0-9]{{8,10}}:AA{_B64URL}{{32,34}}",
        "core.telegram.org/bots/api",
        offsets=(8, 9, 10),
        sample=r"[1-9][0-9]{8}:AA[A-Za-z0-9_-]{32}[A-Za-z0-9]",
    ),
    Shape("Twilio", ("SK",), r"SK[0-9a-f]{32}", "twilio.com/docs/iam/api-keys"),
    _build_prefixed("SendGrid", "SG.", rf"{_B64URL}{{16,32}}\.{_B64URL}{{16,64}}", "docs.sendgrid.com"),
    _build_prefixed("Mailgun", "key-", r"(?<![-_]key-)[0-9a-f]{32}", "documentation.mailgun.com"),
    Shape("Mailchimp", ("-us",), r"[0-9a-f]{32}-us[0-9]{1,2}", "mailchimp.com/developer", offsets=(32,)),
    _build_prefixed("Brevo", "xkeysib- xsmtpsib-", r"[a-f0-9]{64}-[A-Za-z0-9]{16}", "developers.brevo.com"),
    _build_prefixed("Resend", "re_", r"[A-Za-z0-9]{8}_[A-Za-z0-9]{20,28}", "resend.com/docs"),
    # Money and shops
    _build_prefixed(
        "Stripe",
        "sk_live_ sk_test_ rk_live_ rk_test_ sk_prod_ rk_prod_",
        "[A-Za-z0-9]{16,250}",
        "docs.stripe.com/keys",
    ),
    _build_prefixed(
        "Webhook secret",
        "whsec_ v1whsec_",
        r"[A-Za-z0-9+/_-]{16,100}={0,2}(?!=)",
        "docs.stripe.com/webhooks, standardwebhooks.com",
    ),
    _build_prefixed(
        "Shopify", "shpat_ shpca_ shppa_ shpss_ shptka_", "[a-fA-F0-9]{32}", "shopify.dev/docs/apps/auth"
    ),
    _build_prefixed("Square", "sq0atp- sq0csp- sq0idp-", rf"{_B64URL}{{22,60}}", "developer.squareup.com"),
    Shape(
        "Square, Facebook",
        ("EAA",),
        rf"EAA(?:A{_B64URL}{{56,64}}|[A-Z][A-Za-z0-9]{{80,400}})",
        "developer.squareup.com, developers.facebook.com",
        sample=r"EAA(?:AE[A-Za-z0-9]{59}|M[A-Za-z0-9]{120})",
    ),
    _build_prefixed(
        "Braintree, PayPal",
        "access_token$production$ access_token$sandbox$",
        r"[a-z0-9]{16}\$[a-f0-9]{32}",
        "developer.paypal.com",
    ),
    _build_prefixed("EasyPost", "EZAK EZTK", "[A-Za-z0-9]{54}", "docs.easypost.com"),
    _build_prefixed(
        "Plaid",
        "access-sandbox- access-development- access-production-",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "plaid.com/docs",
    ),
    _build_prefixed("Razorpay", "rzp_live_ rzp_test_", "[A-Za-z0-9]{14,24}", "razorpay.com/docs"),
    _build_prefixed(
        "Flutterwave", "FLWSECK- FLWSECK_TEST-", "[a-zA-Z0-9]{12,40}(?:-X)?", "developer.flutterwave.com"
    ),
    _build_prefixed(
        "Shippo, Duffel",
        "shippo_live_ shippo_test_ duffel_live_ duffel_test_",
        r"[A-Za-z0-9_=-]{40,43}",
        "docs.goshippo.com",
    ),
    # Work
    _build_prefixed("Linear", "lin_api_ lin_oauth_ lin_wh_", "[A-Za-z0-9]{32,64}", "linear.app/developers"),
    _build_prefixed("Notion", "ntn_", "[A-Za-z0-9]{40,50}", "developers.notion.com"),
    _build_prefixed("Notion, before", "secret_", "[A-Za-z0-9]{43}", "developers.notion.com"),
    Shape(
        "Airtable",
        (".",),
        r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}",
        "airtable.com/developers",
        behind="[a-f0-9]{64}",
        offsets=(17,),
    ),
    _build_prefixed(
        "HubSpot",
        "pat-na1- pat-eu1- pat-na2- pat-ap1-",
        r"[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}",
        "developers.hubspot.com",
    ),
    _build_prefixed(
        "Figma", "figd_ figo_ figoh_ figu_ figuh_", rf"{_B64URL}{{36,60}}", "developers.figma.com"
    ),
    _build_prefixed("PostHog", "phx_ phs_", "[A-Za-z0-9_]{36,64}", "posthog.com/docs"),
    _build_prefixed("Segment", "sgp_", "[A-Za-z0-9]{64}", "segment.com/docs"),
    _build_prefixed("Adafruit", "aio_", "[A-Za-z0-9]{28}", "io.adafruit.com/api/docs"),
    _build_prefixed("Dropbox", "sl.", rf"{_B64URL}{{130,152}}", "dropbox.com/developers"),
    _build_prefixed(
        "Mapbox", "sk.eyJ tk.eyJ", rf"{_B64URL}{{30,200}}\.{_B64URL}{{20,30}}", "docs.mapbox.com"
    ),
    _build_prefixed("Adobe", "p8e-", "[a-z0-9-]{32}", "developer.adobe.com"),
    _build_prefixed("Contentful", "CFPAT-", rf"{_B64URL}{{43}}", "contentful.com/developers"),
    _build_prefixed("Frame.io", "fio-u-", r"[A-Za-z0-9_=-]{64}", "developer.frame.io"),
    _build_prefixed("Typeform", "tfp_", r"[A-Za-z0-9_.-]{44,64}", "typeform.com/developers"),
    _build_prefixed(
        "Atlassian, Bitbucket",
        "ATCTT ATATT ATBB",
        r"[A-Za-z0-9_=-]{24,300}",
        "support.atlassian.com",
        r"ATATT[A-Za-z0-9]{80}",
    ),
    Shape("MaxMind", ("_mmk",), "[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", "support.maxmind.com", offsets=(36,)),
    _build_prefixed("Scalingo", "tk-us-", rf"{_B64URL}{{48}}", "developers.scalingo.com"),
    _build_prefixed(
        "Tailscale",
        "tskey-auth- tskey-api- tskey-client- tskey-scim- tskey-webhook-",
        r"[A-Za-z0-9]{8,20}?CNTRL-[A-Za-z0-9]{20,48}",
        "tailscale.com/kb",
    ),
    _build_prefixed("Infracost", "ico-", "[A-Za-z0-9]{32}", "infracost.io/docs"),
    # Anywhere
    Shape(
        "private key in base64",
        ("LS0tLS1CRUdJTi",),
        "LS0tLS1CRUdJTi(?:BQUklWQVRFIEtFW|BSU0EgUFJJVkFURSBLRV|BFQyBQUklWQVRFIEtFW|BEU0EgUFJJVkFURSBLRV"
        "|BPUEVOU1NIIFBSSVZBVEUgS0VZ|BFTkNSWVBURUQgUFJJVkFURSBLRV|BQR1AgUFJJVkFURSBLRVkgQkxPQ0)"
        r"[A-Za-z0-9+/]{20,8000}={0,2}",
        "RFC 7468, as in a file of kubectl",
    ),
    Shape(
        "password hash of crypt",
        ("$",),
        r"\$(?:2[abxy]\$[0-9]{2}\$[A-Za-z0-9./]{53}|(?:1|apr1)\$[A-Za-z0-9./]{1,8}\$[A-Za-z0-9./]{22}"
        r"|5\$(?:rounds=[0-9]{1,9}\$)?[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{43}"
        r"|6\$(?:rounds=[0-9]{1,9}\$)?[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{86}"
        r"|g?y\$[A-Za-z0-9./]{1,12}\$[A-Za-z0-9./]{1,86}\$[A-Za-z0-9./]{43}|7\$[A-Za-z0-9./]{11,97}\$[A-Za-z0-9./]{43}"
        r"|sha1\$[0-9]{1,9}\$[A-Za-z0-9./]{1,64}\$[A-Za-z0-9./]{28})",
        "crypt(5)",
        behind=r"(?:2[abxy]|apr1|g?y|sha1|[1567])\$",
        sample=r"\$(?:2b\$1[0-2]\$[A-Za-z0-9./]{53}|6\$[A-Za-z0-9]{16}\$[A-Za-z0-9]{86}|1\$[A-Za-z0-9]{8}\$[A-Za-z0-9]{22})",
    ),
    Shape(
        "password hash of Argon2 or scrypt",
        ("$",),
        r"p=[0-9]{1,3}\$[A-Za-z0-9+/]{11,86}={0,2}\$[A-Za-z0-9+/]{22,172}={0,2}(?!=)",
        "password-hashing.net, PHC string format",
        offsets=(3, 4, 5),
        behind=r"[A-Za-z0-9+/]{11,86}={0,2}\$[A-Za-z0-9+/]{22}",
    ),
    Shape(
        "password hash of PBKDF2",
        ("$pbkdf2", "pbkdf2_sha"),
        r"(?:\$pbkdf2(?:-sha[0-9]{1,3})?\$[0-9]{1,9}|pbkdf2_sha[0-9]{1,3}\$[0-9]{1,9})\$[A-Za-z0-9./+]{1,86}\$[A-Za-z0-9./+]{22,86}={0,2}(?!=)",
        "docs.djangoproject.com, passlib.readthedocs.io",
        sample=r"pbkdf2_sha256\$[1-9][0-9]{5}\$[A-Za-z0-9]{22}\$[A-Za-z0-9+/]{43}=",
    ),
    Shape(
        "password hash of PostgreSQL",
        ("SCRAM-SHA-256$",),
        r"SCRAM-SHA-256\$[0-9]{1,9}:[A-Za-z0-9+/]{8,88}={0,2}\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=(?!=)",
        "RFC 5803",
        sample=r"SCRAM-SHA-256\$4096:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=",
    ),
    Shape(
        "JSON web token, signed or encrypted",
        ("eyJ",),
        rf"eyJ{_B64URL}{{10,4000}}\.(?:eyJ{_B64URL}{{4,7900}}(?:\.{_JWT_PART}){{1,3}}"
        rf"|{_B64URL}{{0,1400}}\.{_B64URL}{{10,100}}\.{_B64URL}{{2,7900}}\.{_B64URL}{{16,100}})",
        "RFC 7519, RFC 7516",
        sample=r"eyJ[A-Za-z0-9_]{17,40}\.(?:eyJ[A-Za-z0-9_-]{20,60}\.[A-Za-z0-9_-]{42}[A-Za-z0-9]|[A-Za-z0-9_-]{0,43}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{20,60}\.[A-Za-z0-9_-]{21}[A-Za-z0-9])",
    ),
    Shape(
        "Discord bot",
        (".",),
        r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}",
        "discord.com/developers",
        behind=r"[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}",
        offsets=(24, 25, 26),
        sample=r"M[A-Za-z0-9_-]{23}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{26}[A-Za-z0-9]",
    ),
)

_BRANDS = re.compile(
    r"4[0-9]{15}(?:[0-9]{3})?|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}|3(?:0[0-5]|[689][0-9])[0-9]{11}"
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}|62[0-9]{14}|(?:50(?:18|20|38)|6304|6759|676[1-3])[0-9]{12}"
)
"""First digits and lengths of Visa, Mastercard, American Express, Discover, Diners, JCB, UnionPay and Maestro."""
_CARD = re.compile(
    r"[2-6](?<!%.)(?<!%[0-9A-Fa-f].)(?:(?<![0-9].)|(?<=%[0-9A-Fa-f]{2}.))[0-9]{3}(?:[0-9]{10,15}"
    r"|(?P<gap>[ .-])[0-9]{4}(?P=gap)[0-9]{4}(?P=gap)[0-9]{4}(?:(?P=gap)[0-9]{3})?"
    r"|(?P<other>[ .-])[0-9]{6}(?P=other)[0-9]{4,5})"
    rf"{AT_END}(?![ .-]?[0-9_])"
)
_NOT_BEFORE_CARD = re.compile(r"[A-Za-z0-9_$#/.-]\Z|[0-9][ .-]\Z|[A-Z]{2}[0-9]{2} \Z")
_TELEPHONE = re.compile(r"(?<!\n)(?<!\A)\+\Z")
_ESCAPED = re.compile(rf"{AT_START}\Z")
_OF_OTHER_NUMBERS = re.compile(
    r"(?:order|track(?:ing)?|parcel|shipment|shipping|consignment|invoice|phone|tel|fax|mobile|iban|time|timestamp|date"
    r"|refs?|reference|imei|serial|sku|ean|gtin|upc|isbn|barcode|ticket|booking|transaction|trace|request|ids?|hash"
    r"|seed|nonce|version|build|offset|size|bytes|count|total|ups|usps|dhl|fedex|waybill|seq(?:uence)?)"
    r"(?:[^A-Za-z0-9\n](?:no|nr|num|number|id|code))?[^A-Za-z0-9\n]{0,8}(?:is )?\Z|(?:[a-z]I[dD]s?|Number)[^A-Za-z0-9\n]{1,8}\Z",
    re.IGNORECASE,
)
CARD_CONTEXT_CHARS = 40


def find_cards(text: str) -> list[tuple[int, int]]:
    """Returns the places of payment card numbers: digits with a brand's form and a correct check digit, which no name
    before them calls something else.
    """
    found: list[tuple[int, int]] = []
    for match in _CARD.finditer(text):
        start, end = match.span()
        before = text[max(0, start - CARD_CONTEXT_CHARS) : start]
        if _NOT_BEFORE_CARD.search(before) and not (before[-1:].isalnum() and _ESCAPED.search(before)):
            continue
        if match["gap"] is None and match["other"] is None and _is_of_other(before):
            continue
        digits = re.sub("[^0-9]", "", match[0])
        if _is_card(digits) and not (len(digits) < 16 and _TELEPHONE.search(before)):
            found.append((start, end))
    return found


def _is_of_other(before: str) -> bool:
    return _OF_OTHER_NUMBERS.search(before) is not None and "card" not in before.lower()


def _is_card(digits: str) -> bool:
    """Returns whether the check digit is correct (ISO/IEC 7812-1, Luhn)."""
    if not _BRANDS.fullmatch(digits):
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(number - 9 * (number > 9) for number in doubled)) % 10 == 0
