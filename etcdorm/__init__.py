"""A typed object mapper and configuration ORM over etcd."""
