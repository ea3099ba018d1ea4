"""The baseline of the quality report: DBSCAN (cosine over TF-IDF of Drain3 templates).

Reads lines of JSON `[message, source]`, prints the best figures over a grid of `eps` and
`min_samples` as JSON. Documents of one template have distance 0, so DBSCAN runs over the
templates, each weighted by its documents: the clusters are the same, and 12,000 documents fit
into memory. Noise is one group, as the unmatched are for the features.
"""
import json
import logging
import sys
from collections import Counter, defaultdict

import numpy as np
from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig
from sklearn.cluster import DBSCAN
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import cosine_distances

EPS = [round(0.05 * step, 2) for step in range(1, 20)]
MIN_SAMPLES = [2, 3, 5, 10, 20, 50, 100]


def mean_best_f1(sources, labels):
    sizes, selected, cells = Counter(sources), Counter(labels), Counter(zip(sources, labels))
    best = defaultdict(float)
    for (source, label), hits in cells.items():
        if label >= 0:
            best[source] = max(best[source], 2 * hits / (sizes[source] + selected[label]))
    return sum(best[source] for source in sizes) / len(sizes)


def main():
    logging.disable(logging.CRITICAL)
    rows = [json.loads(line) for line in sys.stdin]
    sources = [source for _, source in rows]
    miner = TemplateMiner(config=TemplateMinerConfig())
    clusters = [miner.add_log_message(message)["cluster_id"] for message, _ in rows]
    numbers = sorted(set(clusters))
    place = {number: at for at, number in enumerate(numbers)}
    texts = {cluster.cluster_id: cluster.get_template() for cluster in miner.drain.clusters}
    words = TfidfVectorizer(token_pattern=r"\S+", lowercase=False)
    distances = cosine_distances(words.fit_transform([texts[number] for number in numbers]))
    weights = np.bincount([place[cluster] for cluster in clusters], minlength=len(numbers))
    best = None
    for eps in EPS:
        for min_samples in MIN_SAMPLES:
            found = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit(
                distances, sample_weight=weights
            )
            labels = [int(found.labels_[place[cluster]]) for cluster in clusters]
            ari = adjusted_rand_score(sources, labels)
            if best is None or ari > best["ari"]:
                f1 = mean_best_f1(sources, labels)
                best = {"ari": ari, "f1": f1, "eps": eps, "min_samples": min_samples}
    print(json.dumps(best))


main()
