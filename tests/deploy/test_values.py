"""Each value that matters does what its sentence says, and every name is the one in the code."""

import re
from pathlib import Path

import helm_python as helm
import pytest
import render_chart

from shared import queues
from shared.settings import QUEUES, Settings
from workers import fleet
from workers.cli import main

ROOT = Path(__file__).parents[2]
PROCESSES = ("intake", "audio", "video", "aggregator", "console")
ROLE_QUEUES = {"intake": "uploads", **queues.ROLE_QUEUES}


def trigger(scaled):
    return scaled["spec"]["triggers"][0]["metadata"]


# Names and numbers that the code has too


def test_commands_are_commands_of_guardian(defaults):
    for process in PROCESSES:
        program, *words = defaults.container(process)["command"]
        assert program == "guardian"
        command = main
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands"), f"there is no command {words}"
        command.make_context("guardian", words)  # raises where the arguments are wrong


def test_ports_are_those_of_the_code(defaults):
    expected = {"intake": 9100, "console": 8080, **fleet.PORTS}

    for process, port in expected.items():
        assert defaults.container(process)["ports"] == [{"name": "http", "containerPort": port}]
        assert defaults.of("Service", process)["spec"]["ports"][0]["port"] == port
        if process != "console":
            assert defaults.environment(process)["GUARDIAN_METRICS_PORT"] == str(port)


def scaled_queues(rendered):
    """Each worker with the queue whose depth decides its number of pods."""
    return {
        item["spec"]["scaleTargetRef"]["name"]: trigger(item)["queueURL"]
        for item in rendered.of("ScaledObject")
    }


def queues_of_the_code():
    settings = Settings()
    return {f"sg-{process}": settings.queue(queue) for process, queue in ROLE_QUEUES.items()}


def test_each_worker_scales_on_the_queue_that_it_reads(defaults):
    assert scaled_queues(defaults) == queues_of_the_code()
    assert set(ROLE_QUEUES.values()) == set(QUEUES)


def test_a_queue_that_its_worker_does_not_read_is_found(render):
    with pytest.raises(helm.HelmError, match="queue"):
        render({"keda": {"scalers": {"video": {"queue": "videos"}}}})
    planted = scaled_queues(render({"keda": {"scalers": {"video": {"queue": "audio"}}}}))
    assert dict(planted.items() - queues_of_the_code().items()) == {
        "sg-video": "silver-guardian-audio"
    }


def test_what_is_scaled_exists(example):
    deployments = {item["metadata"]["name"] for item in example.of("Deployment")}
    authentications = {item["metadata"]["name"] for item in example.of("TriggerAuthentication")}

    for item in example.of("ScaledObject"):
        assert item["spec"]["scaleTargetRef"]["name"] in deployments
        for one in item["spec"]["triggers"]:
            assert one["authenticationRef"]["name"] in authentications


def test_queue_length_is_derived_from_the_workers_concurrency(defaults, render, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    settings = Settings(queue_base_url="http://127.0.0.1:1/000000000000")
    concurrency = queues.configure(settings).conf.worker_concurrency
    slots = {"intake": (settings.intake_concurrency, 10), "aggregator": (concurrency, 50)}
    slots |= {"audio": (concurrency, 4), "video": (concurrency, 4)}

    for process, (each, messages) in slots.items():
        found = trigger(defaults.of("ScaledObject", f"-{process}"))
        assert found["queueLength"] == str(each * messages)
    two = render({"keda": {"scalers": {"video": {"messagesPerSlot": 1, "concurrency": 2}}}})
    assert trigger(two.of("ScaledObject", "-video"))["queueLength"] == "2"


def test_settings_of_the_chart_are_settings_of_the_code(example):
    known = {f"GUARDIAN_{name.upper()}" for name in Settings.model_fields}
    known |= {"AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}

    for item in (*example.of("Deployment"), *example.of("ScaledJob")):
        spec = item["spec"].get("jobTargetRef", item["spec"])
        (container,) = spec["template"]["spec"]["containers"]
        assert {variable["name"] for variable in container["env"]} <= known


def test_the_environment_of_every_process_is_valid(example, monkeypatch):
    for item in example.of("Deployment"):
        (container,) = item["spec"]["template"]["spec"]["containers"]
        with monkeypatch.context() as patch:
            for variable in container["env"]:
                patch.setenv(variable["name"], variable.get("value", "from-a-secret"))
            settings = Settings()
        assert settings.host == "0.0.0.0"


def test_there_is_time_to_finish_the_longest_job(defaults, render):
    for process in ("audio", "video", "aggregator"):
        pod = defaults.of("Deployment", f"-{process}")["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] >= Settings().decode_timeout_s + 60
    for longer in ("900", "900.5", "9e2", 900.5):
        with pytest.raises(helm.HelmError, match="gracePeriodS"):
            render({"video": {"settings": {"GUARDIAN_DECODE_TIMEOUT_S": longer}}})
    with pytest.raises(helm.HelmError, match="gracePeriodS"):
        render({"video": {"settings": {"GUARDIAN_DECODE_TIMEOUT_S": "600.5"}}})


def test_the_readme_tells_the_truth_about_what_runs_where(defaults):
    text = (ROOT / "deploy/helm/silver-guardian/README.md").read_text()
    rows = re.findall(r"^\| (\w+) \| `(guardian [^`]+)` \| (\d+) \| (.*) \|$", text, re.MULTILINE)

    assert [row[0] for row in rows] == list(PROCESSES)
    for process, command, port, scales in rows:
        container = defaults.container(process)
        assert " ".join(container["command"]).startswith(command)
        assert container["ports"][0]["containerPort"] == int(port)
        if process != "console":
            spec = defaults.of("ScaledObject", f"-{process}")["spec"]
            pods = f"{spec['minReplicaCount']} to {spec['maxReplicaCount']}"
            assert scales == f"`{{prefix}}-{ROLE_QUEUES[process]}`, {pods}"


# Values


def test_the_prefix_reaches_processes_and_triggers(render):
    other = render({"global": {"prefix": "other"}})

    assert other.environment("audio")["GUARDIAN_PREFIX"] == "other"
    assert trigger(other.of("ScaledObject", "-audio"))["queueURL"] == "other-audio"


def test_queue_urls_are_whole_with_a_base(render):
    base = "https://sqs.eu-west-1.amazonaws.com/123456789012"
    whole = render({"global": {"queueBaseUrl": base, "region": "eu-west-1"}})
    found = trigger(whole.of("ScaledObject", "-video"))

    assert found["queueURL"] == f"{base}/silver-guardian-video"
    assert found["awsRegion"] == "eu-west-1"
    assert whole.environment("video")["GUARDIAN_QUEUE_BASE_URL"] == base
    assert whole.environment("video")["AWS_REGION"] == "eu-west-1"


def test_a_stand_in_is_reached_by_processes_triggers_and_through_the_network_policy(render):
    stand_in = {"endpointUrl": "http://aws.test.svc:4566", "credentialsSecret": "keys"}
    local = render({"global": stand_in})

    for process in PROCESSES:
        environment = {item["name"]: item for item in local.container(process)["env"]}
        assert environment["AWS_ENDPOINT_URL"]["value"] == stand_in["endpointUrl"]
        secret = environment["AWS_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"]
        assert secret == {"name": "keys", "key": "AWS_ACCESS_KEY_ID"}
        egress = local.of("NetworkPolicy", f"-{process}")["spec"]["egress"]
        assert {"ports": [{"protocol": "TCP", "port": 4566}]} in egress
    assert trigger(local.of("ScaledObject", "-audio"))["awsEndpoint"] == stand_in["endpointUrl"]
    (authentication,) = local.of("TriggerAuthentication")
    assert "podIdentity" not in authentication["spec"]
    assert {item["name"] for item in authentication["spec"]["secretTargetRef"]} == {"keys"}


def test_without_a_stand_in_nothing_names_an_endpoint_or_a_key(defaults):
    for process in PROCESSES:
        assert not {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"} & set(defaults.environment(process))
    (authentication,) = defaults.of("TriggerAuthentication")
    assert authentication["spec"] == {"podIdentity": {"provider": "aws"}}


def test_each_process_has_the_role_that_it_is_given(render):
    arn = "arn:aws:iam::123456789012:role/{}".format
    given = render({process: {"roleArn": arn(process)} for process in PROCESSES})

    for process in PROCESSES:
        account = given.of("ServiceAccount", f"-{process}")
        assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": arn(process)}
        pod = given.of("Deployment", f"-{process}")["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert "WARNING" not in given.notes


def test_the_notes_warn_of_a_missing_role_and_name_the_next_commands(defaults):
    assert defaults.notes.count("WARNING") == len(PROCESSES)
    assert "port-forward service/sg-console 8080" in defaults.notes
    assert "s3://silver-guardian-uploads/uploads/" in defaults.notes


def test_keda_may_assume_a_role(render):
    arn = "arn:aws:iam::123456789012:role/keda"
    (found,) = render({"keda": {"auth": {"roleArn": arn}}}).of("TriggerAuthentication")

    assert found["spec"] == {"podIdentity": {"provider": "aws", "roleArn": arn}}


def test_a_gpu_pod_asks_for_one_and_runs_nowhere_else(render):
    pool = {"gpu": {"nodeSelector": {"pool": "gpu"}, "resource": "example.com/gpu"}}
    gpu = render(pool)
    for process in ("audio", "video"):
        pod = gpu.of("Deployment", f"-{process}")["spec"]["template"]["spec"]
        assert gpu.container(process)["resources"]["limits"]["example.com/gpu"] == 1
        assert gpu.container(process)["image"].endswith("-gpu")
        assert gpu.environment(process)["GUARDIAN_DEVICE"] == "cuda"
        assert pod["nodeSelector"] == {"pool": "gpu"}
        assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    plain = gpu.of("Deployment", "-intake")["spec"]["template"]["spec"]
    assert "nodeSelector" not in plain
    assert "tolerations" not in plain


def test_a_rollout_that_waits_for_gpus_is_no_failed_one(defaults, render, violations):
    kubernetes_default_s = 600
    slow = render({"gracePeriodS": 3600})
    for found, grace_s in ((defaults, 660), (slow, 3600)):
        deployment = found.of("Deployment", "-video")
        assert deployment["spec"]["progressDeadlineSeconds"] == grace_s + kubernetes_default_s
        assert violations(deployment) == []
        assert "progressDeadlineSeconds" not in found.of("Deployment", "-intake")["spec"]


def test_without_a_gpu_the_cpu_image_runs(render):
    cpu = render({"video": {"gpus": 0, "nodeSelector": {"pool": "cpu"}}})

    assert cpu.container("video")["image"].endswith("silver-guardian-video:0.1.0-cpu")
    assert "nvidia.com/gpu" not in cpu.container("video")["resources"]["limits"]
    assert cpu.environment("video")["GUARDIAN_DEVICE"] == "cpu"
    pod = cpu.of("Deployment", "-video")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "cpu"}
    assert "tolerations" not in pod


@pytest.mark.parametrize(("request_", "threads"), [("2", "2"), ("250m", "1"), ("1500m", "2")])
def test_model_threads_follow_the_cpu_request(render, request_, threads):
    resources = {"requests": {"cpu": request_, "memory": "4Gi"}}
    found = render({"video": {"resources": resources}}).environment("video")

    assert found["GUARDIAN_THREADS"] == threads


def test_images_come_from_the_registry_with_the_tag(render):
    image = {"registry": "registry.example/guardian/", "tag": "1.2.3", "pullSecrets": ["pull"]}
    found = render({"image": image})

    assert found.container("audio")["image"] == (
        "registry.example/guardian/silver-guardian-audio:1.2.3-gpu"
    )
    assert found.container("console")["image"].endswith("silver-guardian-audio:1.2.3-cpu")
    pod = found.of("Deployment", "-console")["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


def test_images_may_be_pinned_by_digest(render):
    digest = f"sha256:{'0' * 64}"
    found = render({"image": {"tag": "1.2.3", "digests": {"audio-cpu": digest}}})

    for process in ("intake", "aggregator", "console"):
        image = found.container(process)["image"]
        assert image == f"silver-guardian-audio:1.2.3-cpu@{digest}"
    assert found.container("audio")["image"] == "silver-guardian-audio:1.2.3-gpu"
    for wrong in ({"audio": digest}, {"audio-cpu": "latest"}):
        with pytest.raises(helm.HelmError):
            render({"image": {"digests": wrong}})


def test_settings_of_one_process_win_over_those_of_all(render):
    found = render(
        {
            "settings": {"GUARDIAN_PRIOR": "0.2", "GUARDIAN_LOG_LEVEL": "debug"},
            "aggregator": {"settings": {"GUARDIAN_PRIOR": "0.3"}},
        }
    )

    assert found.environment("audio")["GUARDIAN_PRIOR"] == "0.2"
    assert found.environment("aggregator")["GUARDIAN_PRIOR"] == "0.3"
    assert found.environment("aggregator")["GUARDIAN_LOG_LEVEL"] == "debug"


def test_keda_decides_the_number_of_pods_unless_it_is_off(defaults, render):
    for process in PROCESSES[:-1]:
        assert "replicas" not in defaults.of("Deployment", f"-{process}")["spec"]
    assert defaults.of("Deployment", "-console")["spec"]["replicas"] == 1

    fixed = render({"keda": {"enabled": False}, "video": {"replicas": 3}})
    assert fixed.of("Deployment", "-video")["spec"]["replicas"] == 3
    assert [item for item in fixed if item["apiVersion"].startswith("keda")] == []


def test_scaling_goes_from_zero_fast_up_and_slowly_down(defaults):
    spec = defaults.of("ScaledObject", "-video")["spec"]
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]

    assert (spec["minReplicaCount"], spec["cooldownPeriod"]) == (0, 600)
    assert behaviour["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behaviour["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert behaviour["scaleDown"]["policies"] == [
        {"type": "Percent", "value": 10, "periodSeconds": 60},
        {"type": "Pods", "value": 1, "periodSeconds": 60},
    ]
    assert trigger({"spec": spec})["scaleOnInFlight"] == "true"


def test_a_queue_that_cannot_be_read_stops_no_pod(defaults):
    for item in defaults.of("ScaledObject"):
        fallback = item["spec"]["fallback"]
        assert fallback["behavior"] == "currentReplicasIfHigher"
        assert fallback["replicas"] >= max(1, item["spec"]["minReplicaCount"])


def test_the_sweeper_always_runs(defaults):
    assert defaults.of("ScaledObject", "-aggregator")["spec"]["minReplicaCount"] >= 1


def test_scaling_can_be_paused(render):
    found = render({"keda": {"scalers": {"video": {"paused": True}}}})

    annotations = found.of("ScaledObject", "-video")["metadata"]["annotations"]
    assert annotations == {"autoscaling.keda.sh/paused": "true"}
    assert "annotations" not in found.of("ScaledObject", "-audio")["metadata"]
    jobs = {"scaledJobs": {"workers": ["video"]}, "scalers": {"video": {"paused": True}}}
    (job,) = render({"keda": jobs}).of("ScaledJob")
    assert job["metadata"]["annotations"] == annotations


def test_age_is_a_second_trigger_with_a_ratio(render):
    found = render({"keda": {"oldestMessage": {"enabled": True, "targetAgeS": 120}}})
    count, age = found.of("ScaledObject", "-audio")["spec"]["triggers"]

    assert count["metricType"] == "AverageValue"
    assert age["metricType"] == "Value"
    assert age["metadata"]["dimensionValue"] == "silver-guardian-audio"
    assert age["metadata"]["targetMetricValue"] == "120"


def test_min_above_max_is_refused(render):
    with pytest.raises(helm.HelmError, match="larger than max"):
        render({"keda": {"scalers": {"video": {"min": 30}}}})


def test_long_recordings_can_be_jobs_that_end_by_themselves(render):
    found = render({"keda": {"scaledJobs": {"workers": ["video"]}}})
    (job,) = found.of("ScaledJob")
    pod = job["spec"]["jobTargetRef"]["template"]["spec"]
    environment = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}

    assert "sg-video" not in {item["metadata"]["name"] for item in found.of("Deployment")}
    assert len(found.of("ScaledObject")) == 3
    assert environment["GUARDIAN_EXIT_AFTER_JOBS"] == "1"
    assert pod["restartPolicy"] == "Never"
    assert trigger(job)["queueLength"] == "1"
    assert job["spec"]["scalingStrategy"] == {"strategy": "default"}
    assert job["spec"]["rollout"] == {"strategy": "gradual"}


def test_a_process_can_be_left_out(render):
    found = render({"console": {"enabled": False}})

    assert not [item for item in found if item["metadata"]["name"].endswith("-console")]
    found = render({"intake": {"enabled": False}, "keda": {"scalers": {"intake": None}}})
    assert not [item for item in found if item["metadata"]["name"].endswith("-intake")]


JOBS_AND_PODS_THAT_ALWAYS_RUN = {
    "scaledJobs": {"workers": ["video"]},
    "scalers": {"video": {"min": 2}},
}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"video": {"enabled": False}}, "no upload would ever have a verdict"),
        (
            {"audio": {"enabled": False}, "keda": {"scalers": {"audio": None}}},
            "no upload would ever have a verdict",
        ),
        ({"intake": {"enabled": False}}, "keda.scalers.intake must be null"),
        (
            {"keda": {"scaledJobs": {"workers": ["video"]}, "scalers": {"video": None}}},
            "needs to know its queue",
        ),
        ({"settings": {"GUARDIAN_MAX_UPLOAD_BYTES": 3 * 1024**3}}, "audio.scratch"),
        ({"video": {"scratch": "700Mi"}}, "video.scratch"),
        ({"console": {"scratch": "700Mi"}}, "console.scratch"),
        ({"keda": JOBS_AND_PODS_THAT_ALWAYS_RUN}, "keda.scalers.video.min must be 0"),
        ({"settings": {"GUARDIAN_JOB_TIMEOUT_S": 500}}, "longest jobs would be killed"),
    ],
)
def test_what_would_not_work_is_refused_with_a_sentence(render, values, sentence):
    with pytest.raises(helm.HelmError, match=sentence):
        render(values)


def test_an_upload_that_fits_is_let_in(render):
    render({"video": {"scratch": "750Mi"}})
    large = {"GUARDIAN_MAX_UPLOAD_BYTES": "3221225472"}
    room = {process: {"scratch": "5Gi"} for process in ("audio", "video", "console")}
    render({"settings": large, **room})
    absent = {"scratch": "1Gi", "enabled": False}
    render({"settings": large, **room, "console": absent})


def test_a_worker_without_a_scaler_has_its_replicas(render, violations):
    found = render({"keda": {"scalers": {"video": None}}, "video": {"replicas": 3}})
    deployment = found.of("Deployment", "-video")

    assert deployment["spec"]["replicas"] == 3
    assert violations(deployment) == []
    assert "replicas" not in found.of("Deployment", "-audio")["spec"]
    alone = render({"keda": {"scalers": None}, "video": {"replicas": 3}})
    assert alone.of("Deployment", "-video")["spec"]["replicas"] == 3
    assert alone.of("ScaledObject") == []


@pytest.mark.parametrize("name", sorted(render_chart.OWNED))
def test_settings_that_other_values_decide_are_refused(render, name):
    with pytest.raises(helm.HelmError):
        render({"settings": {f"GUARDIAN_{name.upper()}": "1"}})


def test_the_chart_sets_no_setting_of_its_own_that_may_break_it(render):
    """What may be set beside the chart's own choice is what each process can run with."""
    values = {"signingSecret": "s", "trustAnchors": "t"}
    values["keda"] = {"scaledJobs": {"workers": ["video"]}}
    values["global"] = {"queueBaseUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012"}
    found = render(values)
    chosen = {name for process in ("audio", "console") for name in found.environment(process)}
    (job,) = found.of("ScaledJob")
    (container,) = job["spec"]["jobTargetRef"]["template"]["spec"]["containers"]
    chosen |= {item["name"] for item in container["env"]}
    chosen = {name for name in chosen if name.startswith("GUARDIAN_")}

    owned = {f"GUARDIAN_{name.upper()}" for name in render_chart.OWNED}
    assert chosen - owned == {f"GUARDIAN_{name}" for name in ("DEVICE", "LOG_FORMAT", "THREADS")}


def test_the_token_is_made_once_or_taken_from_a_secret(defaults, render):
    (secret,) = defaults.of("Secret")
    (variable,) = [
        item
        for item in defaults.container("console")["env"]
        if item["name"] == "GUARDIAN_API_TOKEN"
    ]
    own = render({"console": {"tokenSecret": "mine"}})

    assert len(secret["data"]["token"]) > 40
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert variable["valueFrom"]["secretKeyRef"]["name"] == secret["metadata"]["name"]
    assert own.of("Secret") == []


def test_the_signing_key_reaches_those_who_sign(defaults, render):
    found = render({"signingSecret": "report-key", "settingsFrom": ["more"]})

    for process in PROCESSES:
        signs = process in {"aggregator", "console"}
        pod = found.of("Deployment", f"-{process}")["spec"]["template"]["spec"]
        secrets = [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v]
        assert secrets == (["report-key"] if signs else [])
        named = found.environment(process).get("GUARDIAN_SIGNING_KEY_FILE")
        assert named == ("/etc/silver-guardian/signing.pem" if signs else None)
        assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "more"}}]
        assert "envFrom" not in defaults.container(process)


def test_a_secret_reaches_those_alone_that_read_it(render):
    values = {"settingsFrom": ["cache"], "aggregator": {"settingsFrom": ["webhook"]}}
    found = render({**values, "video": {"settingsFrom": None}})  # as of an older release's values

    for process in PROCESSES:
        secrets = ["cache", "webhook"] if process == "aggregator" else ["cache"]
        taken = [item["secretRef"]["name"] for item in found.container(process)["envFrom"]]
        assert taken == secrets  # Kubernetes lets the last one win


def test_the_trust_anchors_reach_those_who_read_notes_of_origin(render, violations):
    found = render({"trustAnchors": "c2pa", "signingSecret": "report-key"})

    for process in PROCESSES:
        reads = process in {"audio", "video"}
        deployment = found.of("Deployment", f"-{process}")
        pod = deployment["spec"]["template"]["spec"]
        maps = [v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v]
        assert maps == (["c2pa"] if reads else [])
        file = found.environment(process).get("GUARDIAN_C2PA_TRUST_ANCHORS")
        mounts = [mount["mountPath"] for mount in found.container(process)["volumeMounts"]]
        assert file == ("/etc/silver-guardian-trust/anchors.pem" if reads else None)
        assert (file is not None and str(Path(file).parent) in mounts) == reads
        assert violations(deployment) == []


def test_only_prometheus_reaches_workers_and_only_neighbours_the_console(defaults, render):
    worker = defaults.of("NetworkPolicy", "-video")["spec"]
    console = defaults.of("NetworkPolicy", "-console")["spec"]

    assert len(worker["ingress"][0]["from"]) == 1
    assert {"podSelector": {}} in console["ingress"][0]["from"]
    assert {"ports": [{"protocol": "TCP", "port": 443}]}.items() <= worker["egress"][1].items()
    assert worker["egress"][1]["to"][0]["ipBlock"]["except"] == ["169.254.169.254/32"]
    assert render({"networkPolicy": {"enabled": False}}).of("NetworkPolicy") == []
    with_redis = render({"networkPolicy": {"cachePort": 6379}}).of("NetworkPolicy", "-video")
    ports = [port["port"] for rule in with_redis["spec"]["egress"] for port in rule["ports"]]
    assert 6379 in ports


def test_pods_of_an_ipv6_cluster_listen_where_their_probes_ask(render, violations):
    found = render({"ipv6": True, "networkPolicy": {"egressCidrs": ["::/0"]}})

    for process in PROCESSES:
        assert found.environment(process)["GUARDIAN_HOST"] == "::"
        policy = found.of("NetworkPolicy", f"-{process}")
        peers = [peer for rule in policy["spec"]["egress"] for peer in rule.get("to", [])]
        assert [peer["ipBlock"]["cidr"] for peer in peers] == ["::/0", "fd00:ec2::23/128"]
        assert violations(policy) == []


def test_empty_lists_let_nobody_in_or_out(render, violations):
    found = render({"networkPolicy": {"egressCidrs": []}, "console": {"allowFrom": []}})
    console = found.of("NetworkPolicy", "-console")

    assert violations(console) == []
    assert len(console["spec"]["ingress"][0]["from"]) == 1  # Prometheus
    for rule in console["spec"]["egress"]:
        assert 443 not in {port["port"] for port in rule["ports"]}
        assert rule.get("to", True)


def test_no_namespace_of_prometheus_lets_no_namespace_in(render, violations):
    nobody = {"monitoring": {"namespaceLabels": None}}
    found = render(nobody)
    for item in found.of("NetworkPolicy"):
        assert violations(item) == []
    for process in PROCESSES[:-1]:
        assert found.of("NetworkPolicy", f"-{process}")["spec"]["ingress"] == []
    (rule,) = found.of("NetworkPolicy", "-console")["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {}}]
    for peers in ([], None):
        closed = render({**nobody, "console": {"allowFrom": peers}}).of("NetworkPolicy", "-console")
        assert closed["spec"]["ingress"] == []


def test_pods_may_reach_what_more_rules_say(render, violations):
    rule = {"to": [{"podSelector": {}}], "ports": [{"port": 4318}]}
    policy = render({"networkPolicy": {"extraEgress": [rule]}}).of("NetworkPolicy", "-audio")

    assert rule in policy["spec"]["egress"]
    assert violations(policy) == []


@pytest.mark.parametrize(
    ("value", "text"), [(8589934592, "8589934592"), (1e6, "1000000"), (0.25, "0.25"), ("a", "a")]
)
def test_numbers_reach_processes_as_they_are_written(render, value, text):
    found = render({"settings": {"GUARDIAN_DECODE_MEMORY_BYTES": value}})

    assert found.environment("video")["GUARDIAN_DECODE_MEMORY_BYTES"] == text


def test_disruptions_are_one_at_a_time(defaults):
    for item in defaults.of("PodDisruptionBudget"):
        assert item["spec"]["maxUnavailable"] == 1


def test_a_job_keeps_its_node_and_pods_spread(defaults):
    pod = defaults.of("Deployment", "-video")["spec"]["template"]

    assert pod["metadata"]["annotations"] == {
        "karpenter.sh/do-not-disrupt": "true",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    }
    keys = [item["topologyKey"] for item in pod["spec"]["topologySpreadConstraints"]]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_selectors_find_the_pods(defaults):
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        for item in defaults.of(kind):
            spec = item["spec"]
            selector = spec.get("podSelector") or spec["selector"]
            wanted = selector.get("matchLabels", selector)
            component = item["metadata"]["labels"]["app.kubernetes.io/component"]
            pod = defaults.of("Deployment", f"-{component}")["spec"]["template"]
            assert wanted.items() <= pod["metadata"]["labels"].items()


def test_probes_ask_the_endpoints_that_exist(defaults):
    for process in PROCESSES:
        container = defaults.container(process)
        assert container["startupProbe"]["httpGet"] == {"path": "/health", "port": "http"}
        assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}


def test_monitoring_is_switched_on_by_its_values(defaults, render):
    kinds = {"ServiceMonitor", "PrometheusRule"}
    assert not kinds & {item["kind"] for item in defaults}

    labels = {"release": "prometheus"}
    on = render({"monitoring": {**dict.fromkeys(("serviceMonitor", "prometheusRule"), True)}})
    labelled = render({"monitoring": {"serviceMonitor": True, "labels": labels, "intervalS": 10}})

    assert kinds <= {item["kind"] for item in on}
    (monitor,) = labelled.of("ServiceMonitor")
    assert labels.items() <= monitor["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["interval"] == "10s"
    selected = monitor["spec"]["selector"]["matchLabels"]
    for service in labelled.of("Service"):
        assert selected.items() <= service["metadata"]["labels"].items()


def test_writable_space_is_one_scratch_directory(defaults, render):
    for process in PROCESSES:
        pod = defaults.of("Deployment", f"-{process}")["spec"]["template"]["spec"]
        (mount,) = defaults.container(process)["volumeMounts"]
        assert mount == {"name": "scratch", "mountPath": "/tmp"}
        assert defaults.environment(process)["GUARDIAN_WORK_DIR"].startswith("/tmp/")
        size = pod["volumes"][0]["emptyDir"]["sizeLimit"]
        assert defaults.container(process)["resources"]["requests"]["ephemeral-storage"] == size
    larger = render({"video": {"scratch": "20Gi"}}).of("Deployment", "-video")
    (volume,) = larger["spec"]["template"]["spec"]["volumes"]
    assert volume["emptyDir"] == {"sizeLimit": "20Gi"}


def test_pods_that_write_no_uploads_ask_for_little_room(defaults):
    """Four intake pods at 4 Gi each would take all that a node of 20 GiB has."""
    writers = {"audio", "video", "console"}  # and the aggregator metrics of its pool
    intake = "".join(path.read_text() for path in (ROOT / "workers" / "intake").glob("*.py"))

    assert not re.search(r"\b(workspace|fetch|tempfile)\b", intake)
    for process in set(PROCESSES) - writers:
        asked = defaults.container(process)["resources"]["requests"]["ephemeral-storage"]
        assert asked in ("256Mi", "1Gi")


def test_defaults_that_templates_know_are_those_of_the_settings():
    text = "".join(path.read_text() for path in (render_chart.CHART / "templates").iterdir())
    known = re.findall(r'"GUARDIAN_(\w+)" (\d+)\b', text)

    assert {name for name, _ in known} >= {"DECODE_TIMEOUT_S", "JOB_TIMEOUT_S", "MAX_UPLOAD_BYTES"}
    for name, value in known:
        assert Settings.model_fields[name.lower()].default == int(value), name
